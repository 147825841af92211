using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.RegularExpressions;

namespace BaseModel.Topics;

/// <summary>One labelled sentence.</summary>
internal sealed record TopicRow(string Sentence, string Topic);

/// <summary>
/// The quickstart's task: which of four topics is a sentence about? The answer is one token, chance is 25%, and a
/// language model that was only trained to continue text does not know the question. The held-out rows share no content
/// word with the training rows, so that only a representation of the topic can answer them.
/// </summary>
internal static partial class TopicRows
{
    private const int TrainPerTopic = 150;
    private const int HeldOutPerTopic = 40;

    private static readonly IReadOnlyList<Topic> Topics =
        [SeaPhrases.Topic, LawPhrases.Topic, WarPhrases.Topic, MoneyPhrases.Topic];

    // Words of grammar and of time and place, which say nothing about the topic.
    private static readonly IReadOnlySet<string> Grammar = new HashSet<string>(
        ("a about after against along amid an and any as at because before behind below beneath beside by during every for " +
         "from had in into less near no of off on our out over s than that the through to two under until up upon was were " +
         "when while will with within without end several first last").Split(' '));

    /// <summary>The files of the task and their rows, topics in turn.</summary>
    /// <exception cref="InvalidOperationException">The phrases break a promise of the task; the message names the word.</exception>
    public static IReadOnlyList<(string FileName, IReadOnlyList<TopicRow> Rows)> Splits()
    {
        Check();
        return
        [
            ("topics.train.jsonl", Compose(topic => topic.Train, TrainPerTopic)),
            ("topics.heldout.jsonl", Compose(topic => topic.HeldOut, HeldOutPerTopic)),
        ];
    }

    /// <summary>Writes rows as <c>{"prompt": …, "completion": …}</c>, one a line.</summary>
    public static void Write(string path, IReadOnlyList<TopicRow> rows)
    {
        JsonSerializerOptions plain = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };
        StringBuilder lines = new();
        foreach (TopicRow row in rows)
        {
            var line = new { prompt = $"Sentence: {row.Sentence}\nAbout:", completion = $" {row.Topic}" };
            lines.Append(JsonSerializer.Serialize(line, plain)).Append('\n');
        }

        AtomicFile.WriteText(path, lines.ToString());
    }

    private static IReadOnlyList<TopicRow> Compose(Func<Topic, Phrases> split, int perTopic) =>
    [
        .. from i in Enumerable.Range(0, perTopic)
           from topic in Topics
           select new TopicRow(Sentence(split(topic), i), topic.Name),
    ];

    // Combination number i of all, taken in steps of a prime that divides no number of combinations: different i give
    // different sentences, which use every phrase about equally often.
    private static string Sentence(Phrases phrases, int i)
    {
        const int Step = 1021;
        int combination = i * Step % (phrases.Who.Count * phrases.What.Count * phrases.When.Count);
        string who = phrases.Who[combination % phrases.Who.Count];
        string what = phrases.What[combination / phrases.Who.Count % phrases.What.Count];
        string when = phrases.When[combination / phrases.Who.Count / phrases.What.Count];
        string sentence = i % 3 == 2 ? $"{when}, {who} {what}." : $"{who} {what} {when}.";
        return char.ToUpperInvariant(sentence[0]) + sentence[1..];
    }

    private static void Check()
    {
        HashSet<string> train = ContentWords(topic => topic.Train);
        HashSet<string> heldOut = ContentWords(topic => topic.HeldOut);

        if (train.Intersect(heldOut).Order().ToArray() is { Length: > 0 } shared)
        {
            throw new InvalidOperationException($"the splits must share no content word; they share: {string.Join(", ", shared)}");
        }

        if (Topics.Select(topic => topic.Name).Intersect(train.Concat(heldOut)).ToArray() is { Length: > 0 } answers)
        {
            throw new InvalidOperationException($"no sentence may contain an answer; found: {string.Join(", ", answers)}");
        }
    }

    private static HashSet<string> ContentWords(Func<Topic, Phrases> split) =>
    [
        .. from topic in Topics
           from phrase in split(topic).All
           from match in Word().Matches(phrase)
           let word = match.Value.ToLowerInvariant()
           where !Grammar.Contains(word)
           select word,
    ];

    [GeneratedRegex(@"\p{L}+")]
    private static partial Regex Word();
}
