using System.Net;
using System.Text;
using System.Text.RegularExpressions;

namespace Reft.Reproduction;

/// <summary>A message, or a part of one: its headers and its body, one character per byte (Latin-1) until it is decoded.</summary>
internal sealed partial class MailPart
{
    private const int Deepest = 8;

    private readonly Dictionary<string, string> _headers;
    private readonly string _body;

    private MailPart(Dictionary<string, string> headers, string body) => (_headers, _body) = (headers, body);

    /// <summary>Cuts a message at its first blank line; a header that goes on in the next line is joined.</summary>
    public static MailPart Parse(string raw)
    {
        string text = raw.Replace("\r", "");
        int end = text.StartsWith('\n') ? 0 : text.IndexOf("\n\n", StringComparison.Ordinal);
        string head = end < 0 ? text : text[..end];
        Dictionary<string, string> headers = new(StringComparer.OrdinalIgnoreCase);
        foreach (string line in Continuation().Replace(head, " ").Split('\n'))
        {
            int colon = line.IndexOf(':');
            if (colon > 0)
            {
                headers.TryAdd(line[..colon].Trim(), line[(colon + 1)..].Trim());
            }
        }

        return new(headers, end < 0 ? "" : text[(end + 1)..].TrimStart('\n'));
    }

    /// <summary>A header's value; null where it has none.</summary>
    public string? Header(string name) => _headers.GetValueOrDefault(name);

    /// <summary>
    /// Its text: of alternatives the plain one, of several parts all that are text, one after another. HTML is reduced to the
    /// text between its tags.
    /// </summary>
    public string Text() => Text(0);

    /// <summary>Decodes <c>=?charset?Q?…?=</c> in a header.</summary>
    public static string DecodeWords(string header) =>
        EncodedWord().Replace(header, match => match.Groups[1].Value is "B" or "b"
            ? Decoded(Base64(match.Groups[2].Value))
            : Decoded(QuotedPrintable(match.Groups[2].Value.Replace('_', ' '))));

    private string Text(int depth)
    {
        string type = Header("content-type") ?? "text/plain";
        if (type.StartsWith("multipart/", StringComparison.OrdinalIgnoreCase) && Boundary().Match(type) is { Success: true } boundary && depth < Deepest)
        {
            var parts = _body.Split("--" + boundary.Groups[1].Value).Skip(1).Where(part => !part.StartsWith("--", StringComparison.Ordinal)).Select(part => Parse(part.TrimStart(' ', '\t').TrimStart('\n') is var rest && part.StartsWith("\n\n", StringComparison.Ordinal) ? "\n" + rest : rest)).ToList();
            var plain = parts.FirstOrDefault(part => (part.Header("content-type") ?? "text/plain").StartsWith("text/plain", StringComparison.OrdinalIgnoreCase));
            return type.StartsWith("multipart/alternative", StringComparison.OrdinalIgnoreCase) && plain is not null
                ? plain.Text(depth + 1)
                : string.Join('\n', parts.Select(part => part.Text(depth + 1)));
        }

        if (type.StartsWith("message/rfc822", StringComparison.OrdinalIgnoreCase) && depth < Deepest)
        {
            return Parse(_body).Text(depth + 1);
        }

        if (!type.StartsWith("text", StringComparison.OrdinalIgnoreCase))
        {
            return "";
        }

        string body = Header("content-transfer-encoding")?.ToLowerInvariant() switch
        {
            "base64" => Base64(_body),
            "quoted-printable" => QuotedPrintable(_body),
            _ => _body,
        };
        string text = Decoded(body);
        return type.StartsWith("text/html", StringComparison.OrdinalIgnoreCase) || HtmlStart().IsMatch(text) ? WithoutTags(text) : text;
    }

    private static string WithoutTags(string html) =>
        WebUtility.HtmlDecode(Tag().Replace(LineBreak().Replace(Hidden().Replace(html, " "), "\n"), "")).Replace('\u00A0', ' ');

    private static string Base64(string text)
    {
        string packed = string.Concat(text.Where(c => char.IsAsciiLetterOrDigit(c) || c is '+' or '/'));
        packed = packed[..(packed.Length / 4 * 4)];
        return Encoding.Latin1.GetString(Convert.FromBase64String(packed));
    }

    private static string QuotedPrintable(string text) =>
        Escape().Replace(text.Replace("=\n", ""), match => ((char)Convert.ToByte(match.Groups[1].Value, 16)).ToString());

    // Whatever the charset says: bytes that are UTF-8 are read so, all others as Latin-1.
    private static string Decoded(string bytes)
    {
        try
        {
            return Strict.GetString(Encoding.Latin1.GetBytes(bytes));
        }
        catch (DecoderFallbackException)
        {
            return bytes;
        }
    }

    private static readonly UTF8Encoding Strict = new(false, throwOnInvalidBytes: true);

    [GeneratedRegex(@"\n[ \t]+")]
    private static partial Regex Continuation();

    [GeneratedRegex(@"boundary\s*=\s*""?([^"";\s][^"";\n]*)", RegexOptions.IgnoreCase)]
    private static partial Regex Boundary();

    [GeneratedRegex(@"=\?[\w-]+\?([bBqQ])\?([^?]*)\?=")]
    private static partial Regex EncodedWord();

    [GeneratedRegex(@"=([0-9A-Fa-f]{2})")]
    private static partial Regex Escape();

    [GeneratedRegex(@"^\s*<(?:!doctype|html|head|body|table|font|center)\b", RegexOptions.IgnoreCase)]
    private static partial Regex HtmlStart();

    [GeneratedRegex(@"<!--.*?-->|<(style|script|title)\b.*?</\1\s*>", RegexOptions.IgnoreCase | RegexOptions.Singleline)]
    private static partial Regex Hidden();

    [GeneratedRegex(@"<(?:br|/?p|/?div|/?tr|/?td|/?li|/?h\d|hr|/?table)\b[^>]*>", RegexOptions.IgnoreCase)]
    private static partial Regex LineBreak();

    [GeneratedRegex(@"</?[a-zA-Z!][^>]*>")]
    private static partial Regex Tag();
}
