namespace Reft.Internal;

/// <summary>Refuses generation options that mean nothing, each by its name.</summary>
internal static class GenerationCheck
{
    /// <exception cref="ArgumentException">An option means nothing: the message names it, what was expected and what was found.</exception>
    public static void Run(GenerationOptions options, int vocabulary)
    {
        Least("BatchSize", options.BatchSize, 1);
        Least("BucketWindow", options.BucketWindow, 1);
        Least("MaxNewTokens", options.MaxNewTokens ?? 0, 0);
        Least("MinNewTokens", options.MinNewTokens, 0);
        Least("MinLength", options.MinLength, 0);
        Least("NoRepeatNgram", options.NoRepeatNgram, 0);
        if (options.MinNewTokens > options.MaxNewTokens)
        {
            Refuse("MinNewTokens", $"of at most MaxNewTokens, {options.MaxNewTokens}", options.MinNewTokens);
        }

        Number("RepetitionPenalty", "above 0", options.RepetitionPenalty, penalty => penalty > 0);
        Ids("StopIds", options.StopIds, vocabulary);
        for (var i = 0; i < options.BannedTokens.Count; i++)
        {
            Ids($"BannedTokens[{i}]", options.BannedTokens[i], vocabulary);
            if (options.BannedTokens[i].Count == 0)
            {
                Refuse($"BannedTokens[{i}]", "of one token or more", "none");
            }
        }

        Texts("StopStrings", options.StopStrings);
        Texts("BannedWords", options.BannedWords);
        if (options.Sampling is { } sampling)
        {
            Number("Sampling.Temperature", "of at least 1e-6 (leave Sampling out for the most likely token)", sampling.Temperature, x => x >= 1e-6);
            Least("Sampling.TopK", sampling.TopK ?? 1, 1);
            Number("Sampling.TopP", "above 0 and at most 1", sampling.TopP ?? 1, p => p is > 0 and <= 1);
            Number("Sampling.MinP", "of 0 … 1", sampling.MinP ?? 0, p => p is >= 0 and <= 1);
        }

        if (options.Beams is { } beams)
        {
            Least("Beams.Count", beams.Count, 1);
            Number("Beams.LengthPenalty", "of −20 … 20", beams.LengthPenalty, x => Math.Abs(x) <= 20);
            if (!Enum.IsDefined(beams.EarlyStopping))
            {
                Refuse("Beams.EarlyStopping", "that is Unlikely, Full or Never", beams.EarlyStopping);
            }

            if (beams.ReturnedSequences < 1 || beams.ReturnedSequences > beams.Count)
            {
                Refuse("Beams.ReturnedSequences", $"of 1 … {beams.Count}, the number of beams", beams.ReturnedSequences);
            }
        }
    }

    private static void Least(string name, int value, int least)
    {
        if (value < least)
        {
            Refuse(name, $"of {least} or more", value);
        }
    }

    private static void Number(string name, string expected, double value, Func<double, bool> holds)
    {
        if (!double.IsFinite(value) || !holds(value))
        {
            Refuse(name, expected, value);
        }
    }

    private static void Ids(string name, IReadOnlyList<int> ids, int vocabulary)
    {
        foreach (var id in ids.Where(id => id < 0 || id >= vocabulary))
        {
            Refuse(name, $"of 0 … {vocabulary - 1}", id);
        }
    }

    private static void Texts(string name, IReadOnlyList<string> texts)
    {
        for (var i = 0; i < texts.Count; i++)
        {
            if (string.IsNullOrEmpty(texts[i]))
            {
                Refuse($"{name}[{i}]", "that is not empty", texts[i] is null ? "null" : "an empty one");
            }
        }
    }

    private static void Refuse(string name, string expected, object found) =>
        throw new ArgumentException(FormattableString.Invariant($"expected {name} {expected}, found {found}"));
}
