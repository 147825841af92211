using System.CommandLine;
using System.Globalization;

namespace Reft.Cli;

/// <summary>The options that say what is trained.</summary>
internal static class MethodOptions
{
    /// <summary>Text of <see cref="Method"/> that trains as before there was a choice.</summary>
    public const string Preset = "loreft";

    public static readonly Option<string?> Method = Values.Text(
        "--method",
        "NAME[:KEY=VALUE…][+NAME…]",
        "What is trained: an intervention by its name in adapters (loreft, red, direft_paper, …), adapters, lora, dora, bitfit, prefix, probe or full; several are joined by +, e.g. loreft:rank=4+lora:rank=8.");

    public static readonly Option<int?> Rank = Values.Optional(
        "--rank",
        "N",
        "The rank of the first method, in methods that have one; where it is not given 4 for loreft, 8 for lora and dora, 16 for adapters.",
        Values.IntegerFrom(1));

    public static readonly Option<string[]> MethodOption = Values.Pairs(
        "--option", "KEY=VALUE", "An option of the first method, e.g. activation=relu; may be given several times.");

    public static readonly Option<Layers> LayersOption = Values.Option(
        "--layers", "all|4,6,10|4;6;10", "The layers, counted from 0, whose outputs are edited.", Layers.All, Layers.Parse);

    public static readonly Option<Positions> PositionsOption = Values.Option(
        "--positions",
        "f7+l7|fN|lN|all",
        "The tokens of the prompt that are edited: the first, the last, or all.",
        Positions.Parse("f7+l7"),
        Positions.Parse);

    public static readonly Option<bool> Tie = Values.Flag("--tie", "First and last tokens share parameters.");

    public static readonly Option<bool> Untie = Values.Flag(
        "--untie", "First and last tokens have parameters of their own. The default.");

    public static readonly Option<string?> PeftOutput = Values.Text(
        "--peft-output", "DIR", "Where lora or dora is saved in peft's format too.");

    public static readonly Option<string?> ModelOutput = Values.Text(
        "--model-output", "DIR", "Where the tuned model is saved too, as a Hugging Face folder: lora and dora merged, or full.");

    /// <summary>Which methods.</summary>
    public static IEnumerable<Option> Which => [Method, Rank, MethodOption];

    /// <summary>Where interventions act.</summary>
    public static IEnumerable<Option> Where => [LayersOption, PositionsOption, Tie, Untie];

    /// <summary>In which other formats they are saved.</summary>
    public static IEnumerable<Option> Saved => [PeftOutput, ModelOutput];

    /// <summary>What the command line asks for.</summary>
    /// <exception cref="ArgumentException">There is no such method or option.</exception>
    public static MethodChoice Read(ParseResult parsed)
    {
        var choice = MethodChoice.Parse(
            parsed.GetValue(Method) ?? Preset, parsed.GetValue(Rank), parsed.GetValue(MethodOption) ?? []);
        return choice.HasInterventions || !TrainingFlags.HasDropout(parsed)
            ? choice
            : throw new ArgumentException(
                "--dropout is of interventions, and none is trained: lora and dora have an option of their own, e.g. lora:dropout=0.1");
    }

    /// <summary>Refuses formats that have no place for what is trained.</summary>
    /// <exception cref="ArgumentException">One of them is asked for.</exception>
    public static void CheckSaved(ParseResult parsed, MethodChoice choice)
    {
        var tuning = choice.TuningName;
        if (parsed.GetValue(PeftOutput) is not null && tuning is not ("lora" or "dora"))
        {
            throw new ArgumentException($"{PeftOutput.Name} is for lora and dora, and {tuning ?? "an intervention"} is trained: leave it out");
        }

        if (parsed.GetValue(ModelOutput) is not null && tuning is not ("lora" or "dora" or "full"))
        {
            throw new ArgumentException(
                $"{ModelOutput.Name} is for lora, dora and full, which change the model's weights, and {tuning ?? "an intervention"} is trained: leave it out");
        }
    }

    /// <summary>Says which options have nothing to act on, and what other formats leave out.</summary>
    public static void SayWhatIsLeftOut(ParseResult parsed, MethodChoice choice)
    {
        foreach (var option in choice.HasInterventions ? [] : Where.Where(option => parsed.GetResult(option) is { Implicit: false }))
        {
            Terminal.Say($"warning: {option.Name} places interventions, and none is trained: it has no effect");
        }

        foreach (var option in choice.HasInterventions ? new[] { PeftOutput, ModelOutput } : [])
        {
            if (parsed.GetValue(option) is { } folder)
            {
                Terminal.Say($"warning: the interventions have no place in {folder}: they are in the adapter alone");
            }
        }
    }

    /// <summary>The interventions of a choice, where the command line places them.</summary>
    public static ReftSpec Spec(ParseResult parsed, MethodChoice choice) =>
        choice.Spec(
            parsed.GetRequiredValue(LayersOption),
            parsed.GetRequiredValue(PositionsOption),
            parsed.GetValue(Tie) ? ParameterTying.Tied : ParameterTying.Groups,
            intervention => TrainingFlags.Drop(parsed, intervention));
}

/// <summary>What is trained: interventions, a tuning of the model itself, or both.</summary>
internal sealed class MethodChoice
{
    private const string Adapters = "adapters";
    private const string LearningRateKey = "lr";
    private const string DropoutKey = "dropout";

    // What a method has where its rank or length is not given.
    private static readonly IReadOnlyDictionary<string, (string Key, int Value)> Sizes = new Dictionary<string, (string, int)>
    {
        ["loreft"] = ("rank", 4),
        [Adapters] = ("rank", 16),
        ["lora"] = ("rank", 8),
        ["dora"] = ("rank", 8),
        ["prefix"] = ("length", 10),
    };

    private readonly List<ReftIntervention> _interventions = [];
    private ReftSpec? _adapters;

    private MethodChoice()
    {
    }

    /// <summary>How the model itself is tuned; null where it is not.</summary>
    public Tuning? Tuning { get; private set; }

    /// <summary>Whether there is an intervention at the outputs of blocks.</summary>
    public bool HasInterventions => _interventions.Count > 0;

    /// <summary>The name of how the model itself is tuned; null where it is not.</summary>
    public string? TuningName { get; private set; }

    /// <summary>The learning rate that the methods ask for; null where they leave it.</summary>
    public double? LearningRate { get; private set; }

    /// <summary>Whether it is the last layer alone, which in a classification is the head alone.</summary>
    public bool IsProbe { get; private set; }

    /// <summary>Reads <c>NAME:KEY=VALUE:…+NAME…</c>.</summary>
    /// <param name="text">The methods.</param>
    /// <param name="rank">The rank of the first one.</param>
    /// <param name="options">More options <c>KEY=VALUE</c> of the first one.</param>
    /// <exception cref="ArgumentException">There is no such method or option, or two tunings of the model itself.</exception>
    public static MethodChoice Parse(string text, int? rank = null, IReadOnlyList<string>? options = null)
    {
        var choice = new MethodChoice();
        foreach (var (number, part) in text.Split('+', StringSplitOptions.TrimEntries).Index())
        {
            var pieces = part.Split(':', StringSplitOptions.TrimEntries);
            var given = pieces.Skip(1).Concat(number == 0 ? options ?? [] : []).Select(Values.Pair).ToList();
            if (number == 0 && rank is { } directions)
            {
                given.Insert(0, KeyValuePair.Create("rank", directions.ToString(CultureInfo.InvariantCulture)));
            }

            choice.Add(pieces[0], given);
        }

        return choice;
    }

    /// <summary>The interventions, in their places; empty where there is none.</summary>
    /// <param name="layers">The layers whose outputs are edited.</param>
    /// <param name="positions">Which tokens.</param>
    /// <param name="tying">Which of them share parameters.</param>
    /// <param name="change">What is done to each intervention, such as dropout.</param>
    public ReftSpec Spec(
        Layers layers, Positions positions, ParameterTying tying, Func<ReftIntervention, ReftIntervention> change) =>
        _interventions.Aggregate(
            _adapters ?? new ReftSpec(),
            (spec, intervention) => spec.At(Sites.BlockOutput(layers), positions, change(intervention), tying: tying));

    private void Add(string name, List<KeyValuePair<string, string>> options)
    {
        foreach (var (_, rate) in options.Where(option => option.Key == LearningRateKey))
        {
            LearningRate = Values.Number("a learning rate > 0 and ≤ 1000", x => x is > 0 and <= 1000)(rate);
        }

        options.RemoveAll(option => option.Key == LearningRateKey);
        if (Sizes.TryGetValue(name, out var size) && options.TrueForAll(option => option.Key != size.Key))
        {
            options.Insert(0, KeyValuePair.Create(size.Key, size.Value.ToString(CultureInfo.InvariantCulture)));
        }

        if (name == Adapters)
        {
            _adapters = AdaptersOf(options);
        }
        else if (Reft.Tuning.Names.Contains(name))
        {
            Tuning = Tuning is null
                ? Reft.Tuning.Named(name, options)
                : throw new ArgumentException($"expected one method that tunes the model itself, found {Tuning} and {name}");
            TuningName = name;
            IsProbe = name == "probe";
        }
        else
        {
            // No intervention has it as an option of its form.
            var dropout = options.Where(option => option.Key == DropoutKey)
                .Select(option => Values.Number("a dropout of 0 … 1", x => x is >= 0 and < 1)(option.Value))
                .ToArray();
            options.RemoveAll(option => option.Key == DropoutKey);
            _interventions.Add(dropout.Aggregate(
                Intervention(name, options), (intervention, rate) => intervention.Dropout(rate)));
        }
    }

    private static ReftIntervention Intervention(string name, IEnumerable<KeyValuePair<string, string>> options)
    {
        try
        {
            return Interventions.Named(name, options);
        }
        catch (ArgumentException e) when (e.Message.StartsWith($"there is no method '{name}'", StringComparison.Ordinal))
        {
            throw new ArgumentException(
                $"{Values.MessageOf(e)}; or, of the model itself, {string.Join(", ", Reft.Tuning.Names)}; or {Adapters}", e);
        }
    }

    private static ReftSpec AdaptersOf(IEnumerable<KeyValuePair<string, string>> options)
    {
        var (rank, activation, mlpOnly) = (0, "relu", false);
        foreach (var (key, value) in options)
        {
            switch (key)
            {
                case "rank":
                    rank = Values.IntegerFrom(1)(value);
                    break;
                case "activation":
                    activation = value;
                    break;
                case "after" when value is "both" or "mlp":
                    mlpOnly = value == "mlp";
                    break;
                default:
                    throw new ArgumentException(
                        $"{Adapters} has the options rank, activation and after=both|mlp, found {key}={value}");
            }
        }

        return Interventions.BottleneckAdapters(rank, activation, mlpOnly);
    }
}
