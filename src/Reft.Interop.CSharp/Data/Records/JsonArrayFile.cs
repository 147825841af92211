using System.Text.Json;

namespace Reft.Internal;

/// <summary>One JSON array of objects, of which one is held at a time.</summary>
internal sealed class JsonArrayFile(string path, DataOptions options) : RecordFile(path, options)
{
    public override string SourceOf(int number) => $"{Path}: row {number}";

    public override IEnumerable<Record> Scan()
    {
        using var feed = Feed();
        var state = default(JsonReaderState);
        var opened = false;
        for (var number = 1; ;)
        {
            var (start, length) = Next(feed, ref state, ref opened, number);
            if (length == 0)
            {
                yield break;
            }

            feed.Advance(start);
            yield return new Record(feed.Position, number++, feed.Take(length - start));
            feed.Advance(length - start);
        }
    }

    // Where the next element begins and ends in the window; nothing at the end of the array.
    private (int Start, int End) Next(ByteFeed feed, ref JsonReaderState state, ref bool opened, int number)
    {
        for (var final = false; ; final = !feed.Fill())
        {
            var reader = new Utf8JsonReader(feed.Window, final, state);
            try
            {
                if (!opened)
                {
                    if (!reader.Read())
                    {
                        continue;
                    }

                    if (reader.TokenType != JsonTokenType.StartArray)
                    {
                        throw RowError.Of(
                            Path, null, $"expected an array of objects, found {Found(reader.TokenType)}: a file of one object a line is JSON Lines");
                    }

                    opened = true;
                    state = reader.CurrentState;
                    feed.Advance((int)reader.BytesConsumed);
                    reader = new Utf8JsonReader(feed.Window, final, state);
                }

                if (!reader.Read())
                {
                    continue;
                }

                if (reader.TokenType == JsonTokenType.EndArray)
                {
                    state = reader.CurrentState;
                    feed.Advance((int)reader.BytesConsumed);
                    CheckEnd(feed);
                    return (0, 0);
                }

                var start = (int)reader.TokenStartIndex;
                if (reader.TrySkip())
                {
                    state = reader.CurrentState;
                    return (start, (int)reader.BytesConsumed);
                }
            }
            catch (JsonException e)
            {
                throw RowError.Of(opened ? SourceOf(number) : Path, null, $"not valid JSON: {e.Message}", e);
            }
        }
    }

    private void CheckEnd(ByteFeed feed)
    {
        do
        {
            if (!feed.Window.Trim(" \t\r\n"u8).IsEmpty)
            {
                throw RowError.Of(Path, null, $"expected nothing after the array, found more at byte {feed.Position}");
            }

            feed.Advance(feed.Window.Length);
        }
        while (feed.Fill());
    }

    private static string Found(JsonTokenType token) =>
        token switch
        {
            JsonTokenType.StartObject => "an object",
            JsonTokenType.String => "a string",
            JsonTokenType.Number => "a number",
            _ => token.ToString(),
        };
}
