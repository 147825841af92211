using System.CommandLine;
using System.CommandLine.Parsing;

namespace Reft.Cli;

/// <summary>The options of a command line that say how tokens are chosen.</summary>
internal static class DecodingOptions
{
    private static readonly BeamOptions BeamPreset = new();

    private static readonly Option<double?> Temperature = Values.OptionalNumber(
        "--temperature",
        "X",
        "Draw tokens rather than take the most likely one, from logits divided by X: below 1 likely tokens become likelier.",
        Values.Number("a number > 0", x => x > 0));

    private static readonly Option<int?> TopK = Values.Optional(
        "--top-k", "N", "Draw from the N most likely tokens alone.", Values.IntegerFrom(1));

    private static readonly Option<double?> TopP = Values.OptionalNumber(
        "--top-p",
        "P",
        "Draw from the most likely tokens alone, as few as make up this probability.",
        Values.Number("a number > 0 and ≤ 1", p => p is > 0 and <= 1));

    private static readonly Option<double?> MinP = Values.OptionalNumber(
        "--min-p",
        "P",
        "Draw from the tokens alone that are at least P times as likely as the most likely one.",
        Values.Number("a number of 0 … 1", p => p is >= 0 and <= 1));

    private static readonly Option<long> Seed = Values.Option("--seed", "N", "The seed of what is drawn.", 0L, Values.Seed);

    private static readonly Option<int?> Beams = Values.Optional(
        "--beams",
        "N",
        "Search with N beams for the text with the best log-probability; with --temperature, --top-k, --top-p or --min-p the beams are drawn.",
        Values.IntegerFrom(1));

    private static readonly Option<double?> LengthPenalty = Values.OptionalNumber(
        "--length-penalty",
        "X",
        "The power of a text's length that its log-probability is divided by, in a beam search; 1 where it is not given.",
        Values.Number("a number", _ => true));

    private static readonly Option<EarlyStopping?> Stopping = Values.Option<EarlyStopping?>(
        "--early-stopping",
        "false|true|never",
        "End a beam search when a better text is unlikely, as soon as there are N, or when no better one is possible; false where it is not given.",
        null,
        ReadStopping);

    private static readonly Option<int?> Returned = Values.Optional(
        "--return-sequences", "N", "Show the N best texts of a beam search; 1 where it is not given.", Values.IntegerFrom(1));

    private static readonly Option<double?> RepetitionPenalty = Values.OptionalNumber(
        "--repetition-penalty",
        "X",
        "Above 1: tokens that have come before become less likely.",
        Values.Number("a number > 0", x => x > 0));

    private static readonly Option<int?> NoRepeatNgram = Values.Optional(
        "--no-repeat-ngram", "N", "No N tokens come twice in the same order.", Values.IntegerFrom(1));

    private static readonly Option<int?> MinNewTokens = Values.Optional(
        "--min-new-tokens", "N", "New tokens that come before the text may end.", Values.IntegerFrom(0));

    private static readonly Option<string[]> Stop = Values.Texts(
        "--stop", "TEXT", "End where this text comes, before it; may be given several times.");

    private static readonly Option<string[]> Ban = Values.Texts(
        "--ban", "TEXT", "The tokens of this text do not come; may be given several times.");

    /// <summary>All of them, in the order of the help.</summary>
    public static IEnumerable<Option> All =>
    [
        Temperature, TopK, TopP, MinP, Seed, Beams, LengthPenalty, Stopping, Returned, RepetitionPenalty, NoRepeatNgram, MinNewTokens, Stop,
        Ban,
    ];

    /// <summary>Refuses options that do not belong together.</summary>
    public static void Check(CommandResult result)
    {
        if (result.GetResult(Seed) is { Implicit: false } && !Samples(result))
        {
            result.AddError("Expected --temperature, --top-k, --top-p or --min-p with --seed: nothing is drawn without one.");
        }

        var beams = Read(result, Beams);
        foreach (var option in new Option[] { LengthPenalty, Stopping, Returned })
        {
            if (beams is null && result.GetResult(option) is { Implicit: false })
            {
                result.AddError($"Expected --beams with {option.Name}.");
            }
        }

        if (beams is { } most && Read(result, Returned) is { } returned && returned > most)
        {
            result.AddError($"--return-sequences: expected at most {most}, the number of beams, found {returned}.");
        }
    }

    // Of a value that cannot be read, its own option tells.
    private static int? Read(CommandResult result, Option<int?> option)
    {
        try
        {
            return result.GetResult(option) is null ? null : result.GetValue(option);
        }
        catch (InvalidOperationException)
        {
            return null;
        }
    }

    /// <summary>Whether a beam search is asked for, whose text comes at its end.</summary>
    public static bool SearchesBeams(ParseResult parsed) => parsed.GetValue(Beams) is not null;

    /// <summary>The same options with what a command line says.</summary>
    public static GenerationOptions Apply(ParseResult parsed, GenerationOptions options) =>
        options with
        {
            Sampling = Samples(parsed.CommandResult)
                ? new SamplingOptions
                {
                    Temperature = parsed.GetValue(Temperature) ?? 1,
                    TopK = parsed.GetValue(TopK),
                    TopP = parsed.GetValue(TopP),
                    MinP = parsed.GetValue(MinP),
                    Seed = parsed.GetValue(Seed),
                }
                : options.Sampling,
            Beams = parsed.GetValue(Beams) is { } count
                ? new BeamOptions
                {
                    Count = count,
                    LengthPenalty = parsed.GetValue(LengthPenalty) ?? BeamPreset.LengthPenalty,
                    EarlyStopping = parsed.GetValue(Stopping) ?? BeamPreset.EarlyStopping,
                    ReturnedSequences = parsed.GetValue(Returned) ?? BeamPreset.ReturnedSequences,
                }
                : options.Beams,
            RepetitionPenalty = parsed.GetValue(RepetitionPenalty) ?? options.RepetitionPenalty,
            NoRepeatNgram = parsed.GetValue(NoRepeatNgram) ?? options.NoRepeatNgram,
            MinNewTokens = parsed.GetValue(MinNewTokens) ?? options.MinNewTokens,
            StopStrings = parsed.GetValue(Stop) is { Length: > 0 } stops ? stops : options.StopStrings,
            BannedWords = parsed.GetValue(Ban) is { Length: > 0 } words ? words : options.BannedWords,
        };

    private static bool Samples(CommandResult result) =>
        new Option[] { Temperature, TopK, TopP, MinP }.Any(option => result.GetResult(option) is { Implicit: false });

    private static EarlyStopping? ReadStopping(string text) => text switch
    {
        "false" => EarlyStopping.Unlikely,
        "true" => EarlyStopping.Full,
        "never" => EarlyStopping.Never,
        _ => throw new ArgumentException($"expected false, true or never, found '{text}'"),
    };
}
