using System.Security.Cryptography;
using System.Text;

namespace Reft.Reproduction;

/// <summary>
/// Divides texts into three parts. Texts that share a key stay together, and which part they go to is a function of their
/// content: a hash, no random state, no order of files.
/// </summary>
internal static class Splitting
{
    private const double TestShare = 0.2;
    private const double DevelopmentShare = 0.1;

    /// <summary>
    /// One text of each normalised form; none where the form has two labels, or is empty.
    /// </summary>
    public static IReadOnlyList<LabelledText> WithoutDuplicates(IEnumerable<LabelledText> texts) =>
    [
        .. from text in texts
           where text.Normalised.Length > 0
           group text by text.Normalised into same
           where same.Select(text => text.Label).Distinct().Count() == 1
           select same.MinBy(text => text.Source, StringComparer.Ordinal),
    ];

    /// <summary>
    /// The parts, with at most so many rows each, the labels in their natural shares, in an order that is a function of the
    /// content.
    /// </summary>
    public static RealTask Split(string name, IReadOnlyList<string> labels, IEnumerable<LabelledText> texts, int? maxTrain, int? maxTest)
    {
        var groups = Groups(WithoutDuplicates(texts));
        List<LabelledText> train = [], development = [], test = [];

        // Label by label, so that each has its share of every part.
        foreach (string label in labels)
        {
            var ofLabel = groups.Where(group => MajorityLabel(group) == label).ToList();
            int count = ofLabel.Sum(group => group.Count);
            int given = 0;
            foreach (var group in ofLabel)
            {
                // Where a group's middle falls: a large one does not overfill a part.
                double at = (given + (group.Count / 2.0)) / count;
                (at < TestShare ? test : at < TestShare + DevelopmentShare ? development : train).AddRange(group);
                given += group.Count;
            }
        }

        RealTask task = new(name, labels, Rows(train, labels, maxTrain), Rows(development, labels, maxTest), Rows(test, labels, maxTest));
        RefuseLeaks(train, development, test);
        return task;
    }

    /// <summary>A number in [0, 2⁶⁴) that a text determines.</summary>
    public static ulong Hash(string text) => BitConverter.ToUInt64(SHA256.HashData(Encoding.UTF8.GetBytes(text)));

    // Runs with the data, each time: a task whose parts share a text or a key is no task.
    private static void RefuseLeaks(params IReadOnlyList<LabelledText>[] parts)
    {
        Dictionary<string, (int Part, string Source)> seen = [];
        for (int part = 0; part < parts.Length; part++)
        {
            foreach (LabelledText text in parts[part])
            {
                foreach (string key in text.Keys.Append(text.Normalised))
                {
                    if (!seen.TryAdd(key, (part, text.Source)) && seen[key].Part != part)
                    {
                        throw new InvalidDataException(
                            $"'{text.Source}' and '{seen[key].Source}' stand on two sides of the split and share '{key[..Math.Min(60, key.Length)]}'");
                    }
                }
            }
        }
    }

    // Connected by keys; the largest first would make the split depend on chance alone, so the order is that of hashes.
    private static IReadOnlyList<IReadOnlyList<LabelledText>> Groups(IReadOnlyList<LabelledText> texts)
    {
        int[] parent = [.. Enumerable.Range(0, texts.Count)];
        int Root(int i) => parent[i] == i ? i : parent[i] = Root(parent[i]);

        Dictionary<string, int> first = [];
        for (int i = 0; i < texts.Count; i++)
        {
            foreach (string key in texts[i].Keys)
            {
                if (!first.TryAdd(key, i))
                {
                    parent[Root(i)] = Root(first[key]);
                }
            }
        }

        return
        [
            .. from i in Enumerable.Range(0, texts.Count)
               group texts[i] by Root(i) into members
               let ordered = members.OrderBy(text => Hash(text.Normalised)).ToList()
               orderby Hash(ordered[0].Normalised)
               select (IReadOnlyList<LabelledText>)ordered,
        ];
    }

    private static string MajorityLabel(IReadOnlyList<LabelledText> group) =>
        group.CountBy(text => text.Label).OrderByDescending(pair => pair.Value).ThenBy(pair => pair.Key, StringComparer.Ordinal).First().Key;

    private static IReadOnlyList<LabelledRow> Rows(List<LabelledText> part, IReadOnlyList<string> labels, int? most)
    {
        var ordered = part.OrderBy(text => Hash("order " + text.Normalised)).ToList();
        if (most is { } limit && limit < ordered.Count)
        {
            // Shares of the labels by largest remainder.
            var quotas = labels.Select(label => (double)limit * ordered.Count(text => text.Label == label) / ordered.Count).ToList();
            var counts = quotas.Select(quota => (int)quota).ToList();
            foreach (int i in Enumerable.Range(0, labels.Count).OrderByDescending(i => quotas[i] - counts[i]).Take(limit - counts.Sum()))
            {
                counts[i]++;
            }

            var kept = labels.SelectMany((label, i) => ordered.Where(text => text.Label == label).Take(counts[i])).ToHashSet();
            ordered = [.. ordered.Where(kept.Contains)];
        }

        return [.. ordered.Select(text => new LabelledRow { Text = text.Text, Label = text.Label, Source = text.Source })];
    }
}
