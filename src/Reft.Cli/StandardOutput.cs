using System.Buffers;
using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;
using Microsoft.Win32.SafeHandles;

namespace Reft.Cli;

/// <summary>Whoever read the results has closed the pipe.</summary>
internal sealed class ClosedOutputException : Exception;

/// <summary>
/// Results, each written through at once. Unlike <see cref="Console.Out"/> it notices that nobody reads any more, so that
/// <c>reft score … | head</c> ends instead of computing to the end.
/// </summary>
internal sealed class StandardOutput : IDisposable
{
    private const int BrokenPipe = 32;

    private static readonly JsonWriterOptions Compact = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    private readonly Stream _stream = Open();

    /// <summary>One line that holds one JSON object. Numbers are written so that they read back exactly.</summary>
    public void JsonLine(Action<Utf8JsonWriter> writeFields)
    {
        var line = new ArrayBufferWriter<byte>();
        using (var json = new Utf8JsonWriter(line, Compact))
        {
            json.WriteStartObject();
            writeFields(json);
            json.WriteEndObject();
        }

        line.Write("\n"u8);
        Write(line.WrittenSpan);
    }

    /// <summary>A line of text.</summary>
    public void Line(string text) => Text(text + "\n");

    /// <summary>Text as it is.</summary>
    public void Text(string text) => Write(Encoding.UTF8.GetBytes(text));

    public void Dispose() => _stream.Dispose();

    // The console's stream takes a closed pipe for success; a FileStream reports it, but in a file it writes at a position
    // of its own and would overwrite what others write there.
    private static Stream Open()
    {
        try
        {
            var stream = new FileStream(new SafeFileHandle(1, ownsHandle: false), FileAccess.Write, bufferSize: 0);
            return stream.CanSeek ? Console.OpenStandardOutput() : stream;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or ArgumentException)
        {
            throw new IOException($"cannot write to standard output: {e.Message}", e);
        }
    }

    private void Write(ReadOnlySpan<byte> bytes)
    {
        try
        {
            _stream.Write(bytes);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw e.HResult == BrokenPipe
                ? new ClosedOutputException()
                : new IOException($"cannot write to standard output: {e.Message}", e);
        }
    }
}
