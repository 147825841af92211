using System.Text.Json;

namespace Reft.Reproduction;

/// <summary>
/// Whether a word praises or blames: the lists of Liu, 2,006 positive and 4,783 negative words as the package ships them.
/// </summary>
/// <remarks>
/// Words in both lists, and those with anything but letters, are left out. Words whose first five letters are the same stay on
/// one side of the split: that keeps <i>admire</i>, <i>admired</i> and <i>admirably</i> together (and a few that only look alike).
/// What a prefix (<i>dis-</i>, <i>un-</i>) says is left to learn.
/// </remarks>
internal static class OpinionWords
{
    /// <summary>The labels.</summary>
    public static IReadOnlyList<string> Labels { get; } = ["negative", "positive"];

    /// <summary>The words, each in a sentence that is the same for all.</summary>
    public static IEnumerable<LabelledText> Read(string packages) =>
        from entry in Words(packages)
        select new LabelledText($"The word is: {entry.Word}", entry.Label, $"{entry.Label} words: {entry.Word}", [Stem(entry.Word)]);

    /// <summary>How many of the words that AFINN rates too are rated with the same sign there.</summary>
    public static string Agreement(string packages)
    {
        var rated = JsonSerializer.Deserialize<List<JsonElement[]>>(File.ReadAllText(Path.Combine(StdlibDatasets.Folder(packages, "afinn-111"), "words.json")))!
            .ToDictionary(pair => pair[0].GetString()!, pair => pair[1].GetInt32());
        var both = Words(packages).Where(entry => rated.GetValueOrDefault(entry.Word) != 0).ToList();
        int same = both.Count(entry => (rated[entry.Word] > 0) == (entry.Label == "positive"));
        return $"opinion-words: AFINN-111 rates {both.Count} of the words too, {same} of them with the same sign ({(double)same / both.Count:P1})";
    }

    private static IReadOnlyList<(string Word, string Label)> Words(string packages)
    {
        var all = Labels.SelectMany(label =>
            File.ReadLines(Path.Combine(StdlibDatasets.Folder(packages, $"liu-{label}-opinion-words-en"), "words.txt"))
                .Select(line => line.Trim())
                .Where(word => word.Length > 1 && word.All(char.IsAsciiLetterLower))
                .Distinct()
                .Select(word => (Word: word, Label: label)));
        return [.. from entry in all group entry by entry.Word into same where same.Count() == 1 select same.Single()];
    }

    private static string Stem(string word) => "stem " + (word.Length > 5 ? word[..5] : word.TrimEnd('s'));
}
