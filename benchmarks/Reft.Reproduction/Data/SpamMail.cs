using System.Text;
using System.Text.RegularExpressions;

namespace Reft.Reproduction;

/// <summary>
/// Ham or spam: the public mail corpus of SpamAssassin, 4,150 wanted and 1,896 unwanted messages of 2002.
/// </summary>
/// <remarks>
/// <para>
/// The wanted mail is mostly of mailing lists, and the collection betrays itself in what software wrote. So of the headers only
/// the subject is kept, without tags of lists and <i>Re:</i>; from the body go quoted lines and the lines that introduce them,
/// signatures, footers of lists, and lines such as <i>Date:</i>; addresses become <c>[email]</c> and <c>[url]</c>.
/// What is left is what the sender wrote.
/// </para>
/// <para>
/// Messages of one subject, and messages that share a run of twelve words, stay on one side of the split.
/// </para>
/// </remarks>
internal static partial class SpamMail
{
    private const int Characters = 500;
    private const int Shortest = 40;

    // Runs of words that more messages share than this are boilerplate of a list or a mailer, not one text sent again.
    private const int MostSharing = 40;
    private const int WordsOfRun = 12;

    /// <summary>The labels.</summary>
    public static IReadOnlyList<string> Labels { get; } = ["ham", "spam"];

    /// <summary>The messages.</summary>
    public static IEnumerable<LabelledText> Read(string packages)
    {
        string folder = StdlibDatasets.Folder(packages, "spam-assassin");
        var messages = (
            from @group in new[] { "easy-ham-1", "easy-ham-2", "hard-ham-1", "spam-1", "spam-2" }
            from path in Directory.EnumerateFiles(Path.Combine(folder, @group), "*.txt").Order(StringComparer.Ordinal)
            let part = MailPart.Parse(File.ReadAllText(path, Encoding.Latin1))
            let subject = Subject(part.Header("subject"))
            let body = Body(part.Text())
            let text = TextCut.AtWord($"Subject: {subject} {body}", Characters)
            where subject.Length + body.Length >= Shortest
            select (Text: text, Label: @group.Contains("ham") ? "ham" : "spam", Source: $"{@group}/{Path.GetFileName(path)}", Thread: Letters(subject))).ToList();

        var runs = messages.Select(message => Runs(message.Text)).ToList();
        var sharing = runs.SelectMany(run => run).CountBy(run => run).ToDictionary(pair => pair.Key, pair => pair.Value);
        return messages.Select((message, i) => new LabelledText(
            message.Text,
            message.Label,
            message.Source,
            [
                .. message.Thread.Length >= 8 ? ["subject " + message.Thread] : Array.Empty<string>(),
                .. runs[i].Where(run => sharing[run] is > 1 and <= MostSharing).Select(run => $"run {run:x}"),
            ]));
    }

    private static string Subject(string? header) =>
        Prefixes().Replace(Plain(MailPart.DecodeWords(header ?? "")), "").Trim();

    private static string Body(string text)
    {
        StringBuilder kept = new();
        foreach (string raw in text.Split('\n'))
        {
            string line = raw.TrimEnd();
            if (Signature().IsMatch(line))
            {
                break;
            }

            if (!Machine().IsMatch(line))
            {
                kept.Append(line).Append(' ');
            }
        }

        return Plain(kept.ToString());
    }

    private static string Plain(string text) =>
        Blank().Replace(Rule().Replace(Address().Replace(Url().Replace(text, "[url]"), "[email]"), " "), " ").Trim();

    private static string Letters(string text) => string.Concat(text.Where(char.IsLetter).Select(char.ToLowerInvariant));

    private static HashSet<ulong> Runs(string text)
    {
        string[] words = [.. text.Split(' ').Select(Letters).Where(word => word.Length > 0)];
        return [.. Enumerable.Range(0, Math.Max(0, words.Length - WordsOfRun + 1)).Select(i => Splitting.Hash(string.Join(' ', words, i, WordsOfRun)))];
    }

    // "[ILUG] Re: ", "Re[2]: ", "Fwd: ", the marks of filters.
    [GeneratedRegex(@"^(?:\s*(?:\[[^\]]{1,40}\]|\*+spam\*+|(?:re|fwd?|aw)(?:\[\d+\])?\s*:))+\s*|\[[^\]]{1,30}\]", RegexOptions.IgnoreCase)]
    private static partial Regex Prefixes();

    // "-- ", and the rule of underscores above the footer of a list.
    [GeneratedRegex(@"^(?:--\s?|_{20,}|-{20,}\s*(?:This s[fF]\.net|To unsub).*)$|^\s*This (?:sf|SF)\.[Nn][Ee][Tt] email is sponsored|mailman/listinfo")]
    private static partial Regex Signature();

    // Quoted lines, "X wrote:", "On … wrote", and what forwarders and feeds write in the body.
    [GeneratedRegex(@"^\s*[>|:}]|\b(?:wrote|writes|said)\s*[:;]\s*$|^\s*On .{8,80}(?:wrote|\d{4}).*$|^\s*(?:URL|Date|From|To|Cc|Sent|Subject|Message-ID|Reply-To)\s*:|-+\s*Original Message|^-----(?:BEGIN|END) PGP|^Hash: SHA1|^\s*(?:to unsubscribe|unsubscribe:)|taint\.org|netnoteinc|spamassassin|begin \d{3} ", RegexOptions.IgnoreCase)]
    private static partial Regex Machine();

    [GeneratedRegex(@"(?:https?|ftp)\s?://[^\s<>""')\]]*|\bwww\.[^\s<>""')\]]+", RegexOptions.IgnoreCase)]
    private static partial Regex Url();

    [GeneratedRegex(@"(?:mailto:)?[\w.+=%-]+@[\w.-]+\w", RegexOptions.IgnoreCase)]
    private static partial Regex Address();

    // Rules and rows of ornaments.
    [GeneratedRegex(@"([^\w\s])\1{3,}")]
    private static partial Regex Rule();

    [GeneratedRegex(@"[\s\p{C}]+")]
    private static partial Regex Blank();
}
