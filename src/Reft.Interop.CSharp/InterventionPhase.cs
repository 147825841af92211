namespace Reft;

/// <summary>
/// When an intervention acts: <c>InterventionPhase.Prompt</c>, <c>InterventionPhase.DecodeSteps(0, 5)</c>. Training and
/// generation agree: what follows the prompt is decoding in both. Positions count within the phase.
/// </summary>
public sealed record InterventionPhase
{
    private readonly Core.Phase _value;

    private InterventionPhase(Core.Phase value) => _value = value;

    /// <summary>On the tokens of the prompt: it runs once and costs nothing per generated token.</summary>
    public static InterventionPhase Prompt { get; } = new(Core.Phase.Prompt);

    /// <summary>On the tokens after the prompt.</summary>
    public static InterventionPhase Decode { get; } = new(Core.Phase.Decode);

    /// <summary>On all tokens.</summary>
    public static InterventionPhase Always { get; } = new(Core.Phase.Always);

    /// <summary>The window's first token after the prompt, counted from 0; null where the phase is no window.</summary>
    public int? DecodeStart => _value is Core.Phase.DecodeSteps window ? window.start : null;

    /// <summary>The tokens of the window; null where the phase is no window.</summary>
    public int? DecodeCount => _value is Core.Phase.DecodeSteps window ? window.count : null;

    internal Core.Phase Value => _value;

    /// <summary>
    /// On tokens <paramref name="start"/> … <paramref name="start"/> + <paramref name="count"/> − 1 after the prompt: a
    /// window of decode steps.
    /// </summary>
    /// <exception cref="ArgumentException">The start is not 0 … 1,000,000 or the count not 1 … 1,000,000.</exception>
    public static InterventionPhase DecodeSteps(int start, int count)
    {
        Within(start is >= 0 and <= LargestWindow, nameof(start), 0, start);
        Within(count is >= 1 and <= LargestWindow, nameof(count), 1, count);
        return new(Core.Phase.NewDecodeSteps(start, count));

        static void Within(bool holds, string name, int least, int found)
        {
            if (!holds)
            {
                throw new ArgumentException($"expected a {name} of {least} … {LargestWindow} for a window of decode steps, found {found}", name);
            }
        }
    }

    /// <summary><c>Prompt</c>, <c>Decode</c>, <c>Always</c>, or <c>DecodeSteps(2, 5)</c>.</summary>
    public override string ToString() =>
        _value.IsPrompt ? nameof(Prompt)
        : _value.IsDecode ? nameof(Decode)
        : _value.IsAlways ? nameof(Always)
        : string.Create(System.Globalization.CultureInfo.InvariantCulture, $"{nameof(DecodeSteps)}({DecodeStart}, {DecodeCount})");

    internal static InterventionPhase Of(Core.Phase value) => new(value);

    // As reft.json has it: a name, or the window.
    internal static InterventionPhase Read(Core.JsonValue value)
    {
        if (value.Element.ValueKind == System.Text.Json.JsonValueKind.Object)
        {
            return DecodeSteps(Number("decode_start", 0), Number("decode_count", 1));
        }

        return Core.JsonValueModule.@string(value) switch
        {
            "prompt" => Prompt,
            "decode" => Decode,
            "always" => Always,
            _ => throw Core.JsonValueModule.unexpected(
                "one of prompt, decode, always, or a window {\"decode_start\": …, \"decode_count\": …}", value),
        };

        int Number(string key, int least) => Core.JsonValueModule.@int(least, LargestWindow, Core.JsonValueModule.field(key, value));
    }

    private const int LargestWindow = 1_000_000;
}
