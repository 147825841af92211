using System.CommandLine;
using System.Globalization;
using System.Text.Json;

namespace Reft.Cli;

/// <summary>The settings that <c>reft sweep</c> can look through: their options, how values are read, and what they make.</summary>
internal static class SweepSettings
{
    private const string MethodOption = "option.";
    private static readonly TrainingOptions Preset = new();

    private static readonly Setting[] All =
    [
        new("method", "NAME,…", "Methods, by their names in adapters.", "loreft", ',', text => text),
        new("rank", "N,…", "Directions that each intervention edits, in methods that have a rank.", null, ',', text => Values.IntegerFrom(1)(text)),
        new("layers", "all;4,6,10;…", "Sets of layers, parted by semicolons.", "all", ';', Layers.Parse),
        new("positions", "f1+l1;f7+l7;…", "Positions, parted by semicolons.", "f7+l7", ';', Positions.Parse),
        new("tie", "true,false", "Whether first and last tokens share parameters.", "false", ',', text => Bool(text)),
        new("lr", "X,…|log:A..B[:N]", "Largest learning rates, or a range of them.", Text(Preset.LearningRate), ',', Number("a number > 0 and ≤ 1000", x => x is > 0 and <= 1000), IsNumber: true),
        new("batch-size", "N,…", "Rows of a step.", Text(Preset.BatchSize), ',', text => Values.IntegerFrom(1)(text)),
        new("warmup-ratio", "X,…|lin:A..B[:N]", "Parts of all steps in which the learning rate rises.", Text(Preset.WarmupRatio), ',', Number("a number of 0 … 1", x => x is >= 0 and <= 1), IsNumber: true),
        new("weight-decay", "X,…|log:A..B[:N]", "Decoupled weight decay.", Text(Preset.WeightDecay), ',', Number("a number ≥ 0", x => x >= 0), IsNumber: true),
        new("dropout", "X,…|lin:A..B[:N]", "Shares of the numbers of each change that training drops.", "0", ',', Number("a number of 0 … 1, without 1", x => x is >= 0 and < 1), IsNumber: true),
    ];

    private static readonly Option<string[]> Pairs = Values.Pairs(
        "--option", "KEY=V1,V2,…", "Values of an option of the method, e.g. activation=linear,relu; may be given several times.");

    private static readonly Option<string?> File = Values.Text(
        "--space", "FILE.json", """The same as an object, {"rank": [1, 2, 4], "lr": "log:1e-4..5e-3", "option.activation": ["linear", "relu"]}.""");

    /// <summary>All options, in the order in which help shows them.</summary>
    public static IEnumerable<Option> Options => [.. All.Select(setting => setting.Option), Pairs, File];

    /// <summary>What is searched, by name, and what is the same in every run.</summary>
    /// <exception cref="ArgumentException">A value is none of its setting, or a setting is given twice.</exception>
    public static (IReadOnlyList<SweepAxis> Axes, IReadOnlyDictionary<string, string> Fixed) Read(ParseResult parsed)
    {
        var given = new Dictionary<string, (string Text, char Separator)>();
        foreach (var setting in All)
        {
            if (parsed.GetValue(setting.Option) is { } text)
            {
                given.Add(setting.Name, (text, setting.Separator));
            }
        }

        foreach (var pair in (parsed.GetValue(Pairs) ?? []).Select(Values.Pair))
        {
            Add(MethodOption + pair.Key, pair.Value, ',');
        }

        if (parsed.GetValue(File) is { } file)
        {
            foreach (var (name, text, separator) in FromFile(file))
            {
                Add(name, text, separator);
            }
        }

        foreach (var setting in All.Where(setting => setting.Preset is not null))
        {
            given.TryAdd(setting.Name, (setting.Preset!, setting.Separator));
        }

        var axes = new List<SweepAxis>();
        var same = new Dictionary<string, string>();
        foreach (var (name, (text, separator)) in given)
        {
            var isRange = IsRange(text);
            var values = isRange ? [] : text.Split(separator, StringSplitOptions.TrimEntries);
            Check(name, text, values, isRange);
            if (values.Length == 1)
            {
                same.Add(name, values[0]);
            }
            else
            {
                axes.Add(SweepAxis.Parse(name, text, separator));
            }
        }

        return (axes, same);

        void Add(string name, string text, char separator)
        {
            if (!given.TryAdd(name, (text, separator)))
            {
                throw new ArgumentException($"'{name}' is given twice");
            }
        }
    }

    /// <summary>The interventions of a candidate.</summary>
    public static ReftSpec Spec(IReadOnlyDictionary<string, string> settings)
    {
        var method = settings["method"];
        var rank = settings.TryGetValue("rank", out var given) ? given : method == "loreft" ? "4" : null;
        var intervention = Interventions.Named(
            method,
            [
                .. rank is null ? Array.Empty<KeyValuePair<string, string>>() : [KeyValuePair.Create("rank", rank)],
                .. settings
                    .Where(setting => setting.Key.StartsWith(MethodOption, StringComparison.Ordinal))
                    .Select(setting => KeyValuePair.Create(setting.Key[MethodOption.Length..], setting.Value)),
            ]);
        var dropout = Real(settings["dropout"]);
        return new ReftSpec()
            .At(
                Sites.BlockOutput(Layers.Parse(settings["layers"])),
                Positions.Parse(settings["positions"]),
                dropout > 0 ? intervention.Dropout(dropout) : intervention)
            .WithTying(Bool(settings["tie"]) ? ParameterTying.Tied : ParameterTying.Groups);
    }

    /// <summary>How a candidate is trained.</summary>
    public static TrainingOptions Training(IReadOnlyDictionary<string, string> settings) =>
        new()
        {
            LearningRate = Real(settings["lr"]),
            BatchSize = Values.IntegerFrom(1)(settings["batch-size"]),
            WarmupRatio = Real(settings["warmup-ratio"]),
            WeightDecay = Real(settings["weight-decay"]),
        };

    private static IEnumerable<(string Name, string Text, char Separator)> FromFile(string file)
    {
        if (!System.IO.File.Exists(file))
        {
            throw new FileNotFoundException($"--space: there is no file {file}", file);
        }

        JsonDocument json;
        try
        {
            json = JsonDocument.Parse(System.IO.File.ReadAllText(file));
        }
        catch (JsonException e)
        {
            throw new InvalidDataException($"{file}: expected a JSON object: {e.Message}", e);
        }

        using (json)
        {
            if (json.RootElement.ValueKind != JsonValueKind.Object)
            {
                throw new InvalidDataException($"{file}: expected a JSON object, found {json.RootElement.ValueKind}");
            }

            foreach (var field in json.RootElement.EnumerateObject())
            {
                var separator = All.FirstOrDefault(setting => setting.Name == field.Name)?.Separator ?? ',';
                yield return field.Value.ValueKind switch
                {
                    JsonValueKind.String or JsonValueKind.Number or JsonValueKind.True or JsonValueKind.False =>
                        (field.Name, Plain(field.Value), separator),
                    JsonValueKind.Array when field.Value.EnumerateArray().Select(Plain).ToArray() is { Length: > 0 } values
                        && !values.Any(value => value.Contains(separator, StringComparison.Ordinal)) =>
                        (field.Name, string.Join(separator, values), separator),
                    _ => throw new InvalidDataException(
                        $"{file}: expected '{field.Name}' to be a value, a range or a list of values without '{separator}', found {field.Value.GetRawText()}"),
                };
            }
        }

        static string Plain(JsonElement value) =>
            value.ValueKind is JsonValueKind.True or JsonValueKind.False ? value.GetRawText() : value.ToString();
    }

    private static void Check(string name, string text, string[] values, bool isRange)
    {
        if (name.StartsWith(MethodOption, StringComparison.Ordinal))
        {
            return;
        }

        var setting = All.FirstOrDefault(setting => setting.Name == name)
            ?? throw new ArgumentException(
                $"there is no setting '{name}': expected {string.Join(", ", All.Select(one => one.Name))} or option.KEY");
        if (isRange && !setting.IsNumber)
        {
            throw new ArgumentException($"{name}: expected values, found the range '{text}'");
        }

        foreach (var value in values)
        {
            try
            {
                setting.Read(value);
            }
            catch (ArgumentException e)
            {
                throw new ArgumentException($"{name}: {Values.MessageOf(e)}", e);
            }
        }
    }

    private static bool IsRange(string text) =>
        text.StartsWith("log:", StringComparison.Ordinal) || text.StartsWith("lin:", StringComparison.Ordinal);

    private static bool Bool(string text) =>
        text switch
        {
            "true" => true,
            "false" => false,
            _ => throw new ArgumentException($"expected true or false, found '{text}'"),
        };

    private static double Real(string text) => double.Parse(text, NumberStyles.Float, CultureInfo.InvariantCulture);

    private static Func<string, object> Number(string expected, Func<double, bool> holds) =>
        text => Values.Number(expected, holds)(text);

    private static string Text(IFormattable number) => number.ToString(null, CultureInfo.InvariantCulture);

    private sealed record Setting(
        string Name, string Help, string Description, string? Preset, char Separator, Func<string, object> Read, bool IsNumber = false)
    {
        public Option<string?> Option { get; } = Values.Text(
            "--" + Name, Help, Preset is null ? Description : $"{Description} [default: {Preset}]");
    }
}
