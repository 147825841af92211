using System.Globalization;
using System.Text.Json;
using System.Text.Json.Nodes;

namespace Reft.Internal;

/// <summary>
/// The keys of a recipe, each read once and strictly: what is missing, of another kind or not known is refused by its name.
/// </summary>
/// <param name="root">The recipe.</param>
/// <param name="source">What messages call it.</param>
internal sealed class RecipeReader(JsonObject root, string source)
{
    private const string UnknownKey = "unknown";

    private readonly HashSet<string> _read = new(StringComparer.Ordinal);

    public string Text(string key) => Needed(key) is { } value ? TextOf(key, value) : "";

    public int Count(string key) => Needed(key) is { } value ? Whole(key, value, 1, 1_000_000) : 0;

    public ModelDtype Dtype(string key) =>
        Text(key) switch
        {
            "fp32" => ModelDtype.Fp32,
            "bf16" => ModelDtype.Bf16,
            "fp16" => ModelDtype.Fp16,
            var other => throw Refuse(key, $"expected fp32, bf16 or fp16, found '{other}'"),
        };

    public RecipeMethod Method()
    {
        Section("method");
        var name = Text("method.name");
        var method = new RecipeMethod { Name = name, Rank = Optional("method.rank", (key, value) => Whole(key, value, 1, 100_000)) };
        method = method with { Dropout = Optional("method.dropout", (key, value) => Real(key, value, "a rate in [0, 1)", x => x is >= 0 and < 1)) };
        if (method.IsTuning)
        {
            return Valid(method with
            {
                Alpha = Optional("method.alpha", (key, value) => Real(key, value, "a number > 0", x => x > 0)),
                Modules = Needed("method.modules") is { } modules ? Texts("method.modules", modules) : [],
            });
        }

        return Valid(Checked("method", () => method with
        {
            Layers = Read("method.layers", Layers.Parse) ?? Layers.All,
            Positions = Read("method.positions", Positions.Parse),
            Tied = Optional("method.tied", Flag) ?? false,
            ShortPrompts = Text("method.short_prompts") switch
            {
                "pyreft" => ShortPromptRule.Pyreft,
                "paper" => ShortPromptRule.Paper,
                var other => throw Refuse("method.short_prompts", $"expected pyreft or paper, found '{other}'"),
            },
            Options = Absent("method.options") ? method.Options : Pairs("method.options"),
        }));
    }

    public RecipeTraining Training()
    {
        Section("training");
        const string Steps = "training.warmup_steps";
        return new RecipeTraining
        {
            LearningRate = Optional("training.learning_rate", (key, value) => Real(key, value, "a number > 0 and ≤ 1000", x => x is > 0 and <= 1000)),
            Schedule = Text("training.schedule") switch
            {
                "linear" => LearningRateSchedule.Linear,
                "cosine" => LearningRateSchedule.Cosine,
                "constant" => LearningRateSchedule.Constant,
                var other => throw Refuse("training.schedule", $"expected linear, cosine or constant, found '{other}'"),
            },
            WarmupSteps = Absent(Steps) ? null : Whole(Steps, Needed(Steps)!, 0, int.MaxValue),
            WarmupRatio = !Absent("training.warmup_ratio") || Absent(Steps)
                ? Optional("training.warmup_ratio", (key, value) => Real(key, value, "a number of 0 … 1", x => x is >= 0 and <= 1))
                : null,
            WeightDecay = Optional("training.weight_decay", (key, value) => Real(key, value, "a number ≥ 0", x => x >= 0)),
            BatchSize = Optional("training.batch_size", (key, value) => Whole(key, value, 1, 100_000)),
            Accumulation = Optional("training.accumulation", (key, value) => Whole(key, value, 1, 100_000)),
            Epochs = Optional("training.epochs", (key, value) => Whole(key, value, 1, 1_000_000)),
            MaxLength = Optional("training.max_length", (key, value) => Whole(key, value, 2, 1_000_000)),
            MaxExamples = Absent("training.max_examples") ? null : Count("training.max_examples"),
        };
    }

    public IReadOnlyList<long> Seeds()
    {
        var value = Needed("seeds");
        var seeds = value is JsonArray { Count: > 0 } items
            ? items.Select((item, i) => (long)Whole($"seeds[{i}]", item, 0, int.MaxValue)).ToArray()
            : throw Refuse("seeds", $"expected an array of integers ≥ 0, found {Kind(value)}");
        return seeds.Distinct().Count() == seeds.Length ? seeds : throw Refuse("seeds", "expected each seed once");
    }

    public RecipeDecoding? Decoding()
    {
        if (Absent("decoding"))
        {
            return null;
        }

        Section("decoding");
        var decoding = new RecipeDecoding
        {
            MaxNewTokens = Tokens("decoding.max_new_tokens"),
            MaxLength = Tokens("decoding.max_length"),
            Beams = Absent("decoding.beams") ? 1 : Count("decoding.beams"),
            Temperature = Number("decoding.temperature", "a number > 0", x => x > 0),
            TopP = Number("decoding.top_p", "a number in (0, 1]", x => x is > 0 and <= 1),
            TopK = Tokens("decoding.top_k"),
            NoRepeatNgram = Tokens("decoding.no_repeat_ngram"),
            RepetitionPenalty = Number("decoding.repetition_penalty", "a number > 0", x => x > 0) ?? 1,
        };
        return (decoding.MaxNewTokens is null) == (decoding.MaxLength is null)
            ? throw Refuse("decoding.max_new_tokens", "expected either it or decoding.max_length, found both or neither")
            : decoding;

        int? Tokens(string key) => Absent(key) ? null : Count(key);
        double? Number(string key, string expected, Func<double, bool> holds) => Absent(key) ? null : Real(key, Needed(key), expected, holds);
    }

    public PaperFigures? Paper()
    {
        if (Absent("paper"))
        {
            return null;
        }

        Section("paper");
        var scores = new Dictionary<string, double>(StringComparer.Ordinal);
        if (!Absent("paper.scores"))
        {
            Section("paper.scores");
            foreach (var (dataset, value) in (JsonObject)At("paper.scores")!)
            {
                _read.Add($"paper.scores.{dataset}");
                scores[dataset] = Percent($"paper.scores.{dataset}", value);
            }
        }

        return new PaperFigures(
            Text("paper.source"),
            Absent("paper.parameters_percent") ? null : Percent("paper.parameters_percent", Needed("paper.parameters_percent")),
            scores,
            Absent("paper.average") ? null : Percent("paper.average", Needed("paper.average")));
    }

    public IReadOnlyList<string> Notes() => Absent("notes") ? [] : Texts("notes", Needed("notes"));

    // A value that is set makes known what was not.
    public IReadOnlyDictionary<string, string> Unknown() =>
        Absent(UnknownKey) ? new Dictionary<string, string>() : Pairs(UnknownKey).Where(pair => At(pair.Key) is null).ToDictionary(StringComparer.Ordinal);

    // A name or an option that no method has is refused here, not after a model of many gigabytes was loaded.
    private RecipeMethod Valid(RecipeMethod method)
    {
        if (method.Rank is not null && (method.IsTuning || method.Positions is not null))
        {
            Checked("method", () => method.IsTuning ? (object?)method.ToTuning() : method.ToSpec());
        }

        return method;
    }

    /// <summary>Refuses keys that nothing reads.</summary>
    public void End() => End(root, "");

    private void End(JsonObject part, string prefix)
    {
        foreach (var (key, value) in part)
        {
            var path = prefix + key;
            if (!_read.Contains(path))
            {
                throw Refuse(path, "there is no such key");
            }

            if (value is JsonObject inner && path is "method" or "training" or "decoding" or "paper")
            {
                End((JsonObject)value, path + ".");
            }
        }
    }

    private void Section(string key)
    {
        if (Needed(key) is not JsonObject)
        {
            throw Refuse(key, $"expected an object, found {Kind(At(key))}");
        }
    }

    private bool Absent(string key) => At(key) is null && !Has(key);

    private JsonNode? Needed(string key)
    {
        _read.Add(key);
        return Has(key) ? At(key) : throw Refuse(key, "it is missing");
    }

    // What the recipe says that nobody knows may be missing.
    private bool IsUnknown(string key) => !Has(key) && root[UnknownKey] is JsonObject unknown && unknown.ContainsKey(key);

    private T? Optional<T>(string key, Func<string, JsonNode?, T> read)
        where T : struct =>
        IsUnknown(key) ? null : read(key, Needed(key));

    private T? Read<T>(string key, Func<string, T> read)
        where T : class
    {
        if (IsUnknown(key))
        {
            return null;
        }

        // One layer is a number on a command line: --set method.layers=3.
        var value = Needed(key);
        var text = value?.GetValueKind() == JsonValueKind.Number ? value.ToJsonString() : TextOf(key, value);
        return Checked(key, () => read(text));
    }

    private T Checked<T>(string key, Func<T> read)
    {
        try
        {
            return read();
        }
        catch (ArgumentException e)
        {
            throw Refuse(key, e.Message.Replace($" (Parameter '{e.ParamName}')", "", StringComparison.Ordinal));
        }
    }

    private bool Has(string key) =>
        key.LastIndexOf('.') is >= 0 and var dot
            ? At(key[..dot]) is JsonObject part && part.ContainsKey(key[(dot + 1)..])
            : root.ContainsKey(key);

    private JsonNode? At(string key) =>
        key.Split('.').Aggregate((JsonNode?)root, (part, name) => part is JsonObject inner ? inner[name] : null);

    private Dictionary<string, string> Pairs(string key)
    {
        Section(key);
        var pairs = new Dictionary<string, string>(StringComparer.Ordinal);
        foreach (var (name, value) in (JsonObject)At(key)!)
        {
            pairs[name] = value is JsonValue && value.GetValueKind() == JsonValueKind.String ? value.GetValue<string>()
                : value is JsonValue ? value.ToJsonString()
                : throw Refuse($"{key}.{name}", $"expected a text or a number, found {Kind(value)}");
        }

        return pairs;
    }

    private string[] Texts(string key, JsonNode? value) =>
        value is JsonArray items
            ? [.. items.Select((item, i) => TextOf($"{key}[{i}]", item))]
            : throw Refuse(key, $"expected an array of texts, found {Kind(value)}");

    private string TextOf(string key, JsonNode? value) =>
        value?.GetValueKind() == JsonValueKind.String ? value.GetValue<string>() : throw Refuse(key, $"expected a text, found {Kind(value)}");

    private bool Flag(string key, JsonNode? value) =>
        value?.GetValueKind() switch
        {
            JsonValueKind.True => true,
            JsonValueKind.False => false,
            _ => throw Refuse(key, $"expected true or false, found {Kind(value)}"),
        };

    private int Whole(string key, JsonNode? value, int least, int most) =>
        value?.GetValueKind() == JsonValueKind.Number
        && int.TryParse(value.ToJsonString(), NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out var number)
        && number >= least && number <= most
            ? number
            : throw Refuse(key, $"expected an integer of {least} … {most}, found {Kind(value)}");

    private double Real(string key, JsonNode? value, string expected, Func<double, bool> holds) =>
        value?.GetValueKind() == JsonValueKind.Number
        && double.TryParse(value.ToJsonString(), NumberStyles.Float, CultureInfo.InvariantCulture, out var number)
        && double.IsFinite(number) && holds(number)
            ? number
            : throw Refuse(key, $"expected {expected}, found {Kind(value)}");

    private double Percent(string key, JsonNode? value) => Real(key, value, "a number of 0 … 100", x => x is >= 0 and <= 100);

    private static string Kind(JsonNode? value) =>
        value switch
        {
            null => "null",
            JsonObject => "an object",
            JsonArray => "an array",
            _ => value.ToJsonString() is { Length: <= 60 } text ? text : "a long text",
        };

    private InvalidDataException Refuse(string key, string problem) => new($"{source}: key '{key}': {problem}");
}
