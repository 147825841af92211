namespace Reft.Internal;

/// <summary>One JSON object a line.</summary>
internal sealed class JsonLinesFile(string path, DataOptions options) : RecordFile(path, options)
{
    public override IEnumerable<Record> Scan()
    {
        using var feed = Feed();
        for (var number = 1; ; number++)
        {
            var length = LineLength(feed);
            if (length == 0)
            {
                yield break;
            }

            if (!feed.Window[..length].Trim(" \t\r\n"u8).IsEmpty)
            {
                yield return new Record(feed.Position, number, feed.Take(length));
            }

            feed.Advance(length);
        }
    }

    // With its end of line; 0 at the end of the file.
    private static int LineLength(ByteFeed feed)
    {
        for (var searched = 0; ;)
        {
            if (feed.Window[searched..].IndexOf((byte)'\n') is >= 0 and var end)
            {
                return searched + end + 1;
            }

            searched = feed.Window.Length;
            if (!feed.Fill())
            {
                return searched;
            }
        }
    }
}
