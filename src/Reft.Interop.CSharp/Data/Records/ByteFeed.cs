namespace Reft.Internal;

/// <summary>A window over a file's bytes, which grows where a row needs it and never beyond the longest row.</summary>
/// <param name="stream">The file, read from where it stands; owned.</param>
/// <param name="path">Its name, for messages.</param>
internal sealed class ByteFeed(Stream stream, string path) : IDisposable
{
    private byte[] _buffer = new byte[1 << 16];
    private int _start;
    private int _end;

    /// <summary>Where the window begins in the file.</summary>
    public long Position { get; private set; }

    /// <summary>What is read and not yet done with.</summary>
    public ReadOnlySpan<byte> Window => _buffer.AsSpan(_start, _end - _start);

    /// <summary>The first bytes of the window; valid until more is read.</summary>
    public ReadOnlyMemory<byte> Take(int count) => _buffer.AsMemory(_start, count);

    /// <summary>Reads more; false at the end of the file.</summary>
    /// <exception cref="InvalidDataException">The window would be longer than a row may be.</exception>
    public bool Fill()
    {
        if (_end - _start > RecordFile.MaximumRowBytes)
        {
            throw RowError.Of(
                path, null, $"the row at byte {Position} is longer than {RecordFile.MaximumRowBytes >> 20} MB: expected shorter rows; is the file of the format that it is read as?");
        }

        if (_end == _buffer.Length)
        {
            if (_start < _buffer.Length / 2)
            {
                Array.Resize(ref _buffer, _buffer.Length * 2);
            }

            Window.CopyTo(_buffer);
            (_start, _end) = (0, _end - _start);
        }

        var count = stream.Read(_buffer, _end, _buffer.Length - _end);
        _end += count;
        return count > 0;
    }

    /// <summary>Leaves bytes behind.</summary>
    public void Advance(int count)
    {
        _start += count;
        Position += count;
    }

    public void Dispose() => stream.Dispose();
}
