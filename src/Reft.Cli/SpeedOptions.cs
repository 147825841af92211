using System.CommandLine;
using System.CommandLine.Parsing;
using System.Globalization;

namespace Reft.Cli;

/// <summary>Options of <c>reft train</c> that change how much is computed, and not what.</summary>
internal static class SpeedOptions
{
    private static readonly Option<bool> GroupByLength = Values.Flag(
        "--group-by-length", "Rows of about the same length make a batch, so that little is padded.");

    private static readonly Option<int?> Pack = Values.Optional(
        "--pack",
        "N",
        "Several rows stand in one of at most N tokens, without seeing each other; --batch-size then counts these.",
        Values.IntegerFrom(2));

    private static readonly Option<int?> Recompute = RecomputeOption();

    private static readonly Option<FrozenLayerCache?> CacheFrozen = Values.Option<FrozenLayerCache?>(
        "--cache-frozen",
        "SIZE[:DIR]",
        "The layers below the lowest intervention are computed once for each row; their results take at most SIZE (500M, 8G) of memory, or of a file in DIR.",
        null,
        ReadCache);

    /// <summary>All of them, in the order of the help.</summary>
    public static IEnumerable<Option> All => [GroupByLength, Pack, Recompute, CacheFrozen];

    /// <summary>Refuses options that do not belong together.</summary>
    public static void Check(CommandResult result)
    {
        if (result.GetValue(GroupByLength) && result.GetValue(Pack) is not null)
        {
            result.AddError("Expected --group-by-length or --pack, found both.");
        }
    }

    /// <summary>The same options with what a command line says.</summary>
    public static TrainingOptions Apply(ParseResult parsed, TrainingOptions options) =>
        options with
        {
            Batching = parsed.GetValue(Pack) is { } tokens ? TrainingBatching.Packed(tokens)
                : parsed.GetValue(GroupByLength) ? TrainingBatching.ByLength()
                : TrainingBatching.InOrder,
            RecomputeEvery = parsed.GetValue(Recompute) ?? (parsed.GetResult(Recompute) is null ? null : 1),
            FrozenLayerCache = parsed.GetValue(CacheFrozen),
        };

    private static Option<int?> RecomputeOption()
    {
        var option = Values.Optional(
            "--recompute",
            "N",
            "The activations of each N blocks (1 where it is not given) are computed again in the backward pass instead of kept: slower, in less memory.",
            Values.IntegerFrom(1));
        option.Arity = ArgumentArity.ZeroOrOne;
        return option;
    }

    // A Windows folder has a colon of its own: the first one ends the size.
    private static FrozenLayerCache ReadCache(string text)
    {
        var colon = text.IndexOf(':', StringComparison.Ordinal);
        var size = colon < 0 ? text : text[..colon];
        var folder = colon < 0 ? null : text[(colon + 1)..];
        if (folder is "")
        {
            throw new ArgumentException($"expected SIZE or SIZE:DIR, found '{text}', whose DIR is empty");
        }

        return new FrozenLayerCache { MaxBytes = ReadSize(size), Folder = folder };
    }

    private static long ReadSize(string text)
    {
        var shift = text.LastOrDefault() switch
        {
            'K' or 'k' => 10,
            'M' or 'm' => 20,
            'G' or 'g' => 30,
            'T' or 't' => 40,
            _ => 0,
        };
        return long.TryParse(shift == 0 ? text : text[..^1], NumberStyles.None, CultureInfo.InvariantCulture, out var number)
            && number > 0 && number <= long.MaxValue >> shift
            ? number << shift
            : throw new ArgumentException($"expected a size in bytes such as 500M or 8G, found '{text}'");
    }
}
