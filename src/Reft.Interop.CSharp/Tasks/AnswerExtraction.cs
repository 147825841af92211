using System.Globalization;
using System.Text.RegularExpressions;

namespace Reft;

/// <summary>
/// How answers are read from what a model wrote, as LLM-Adapters (evaluate.py) and pyreft (compute_metrics.py) do it, whose
/// figures the paper compares with.
/// </summary>
public static partial class AnswerExtraction
{
    /// <summary>The largest difference between two numbers that count as the same.</summary>
    public const double NumberTolerance = 1e-3;

    /// <summary>
    /// What stands after the first occurrence of a text, without the white space before it; empty where the text does not
    /// occur. pyreft looks in the prompt and what was generated after it, as one text.
    /// </summary>
    /// <param name="text">Where to look.</param>
    /// <param name="trigger">What to look for, letter by letter.</param>
    public static string After(string text, string trigger) =>
        text.IndexOf(trigger, StringComparison.Ordinal) is >= 0 and var start
            ? text[(start + trigger.Length)..].TrimStart()
            : "";

    /// <summary>
    /// The last number of a text: of <c>-?\d+\.?\d*</c>, commas left out; null where there is none. A hyphen before a digit
    /// is a sign, also in <c>5-3</c>, which ends in −3.
    /// </summary>
    public static double? LastNumber(string text) =>
        Numbers().Matches(text.Replace(",", "", StringComparison.Ordinal)) is { Count: > 0 } found
            ? double.Parse(found[^1].ValueSpan, NumberStyles.Float, CultureInfo.InvariantCulture)
            : null;

    /// <summary>
    /// The first of the capital letters A to E anywhere in a text, also within a word: <c>The Answer is (C)</c> gives A. Null
    /// where there is none.
    /// </summary>
    public static char? FirstLetter(string text) =>
        text.IndexOfAny(['A', 'B', 'C', 'D', 'E']) is >= 0 and var place ? text[place] : null;

    /// <summary>What stands after the last <c>####</c> of an answer of GSM8K, without white space around it; the whole where there is none.</summary>
    public static string AfterHashes(string answer) => answer.Split("####")[^1].Trim();

    /// <summary>Whether two numbers differ by at most <see cref="NumberTolerance"/>.</summary>
    public static bool SameNumber(double expected, double? found) =>
        found is { } number && Math.Abs(expected - number) <= NumberTolerance;

    // A number of any length is matched in one pass.
    [GeneratedRegex(@"-?[0-9]+\.?[0-9]*", RegexOptions.CultureInvariant)]
    private static partial Regex Numbers();
}
