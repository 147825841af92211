using System.Collections;
using System.Collections.Concurrent;
using Microsoft.Win32.SafeHandles;

namespace Reft.Internal;

/// <summary>Rows that stay on the disk, of which only the places are kept; each is read when it is asked for.</summary>
internal interface IStreamedRows
{
    /// <summary>The number of rows.</summary>
    int Count { get; }
}

/// <summary>Rows of one kind that stay on the disk.</summary>
internal sealed class StreamedRows<T> : IReadOnlyList<T>, IStreamedRows
{
    private readonly RecordFile _file;
    private readonly Func<RawRow, T> _row;
    private readonly FileStamp _stamp;
    private readonly List<Place> _places = [];
    private readonly ConcurrentBag<byte[]> _buffers = [];
    private FileStream? _unpacked;
    private SafeFileHandle? _bytes;

    private StreamedRows(RecordFile file, Func<RawRow, T> row)
    {
        (_file, _row) = (file, row);
        _stamp = FileStamp.Of(file.Path);
    }

    /// <inheritdoc/>
    public int Count => _places.Count;

    /// <summary>A row, from the disk.</summary>
    /// <exception cref="InvalidDataException">The file is not what it was.</exception>
    public T this[int index]
    {
        get
        {
            var place = _places[index];
            _stamp.Check(_file.Path);
            if (!_buffers.TryTake(out var buffer) || buffer.Length < place.Length)
            {
                buffer = new byte[Math.Max(4096, place.Length)];
            }

            try
            {
                return _file.Read(place.Number, Read(place, buffer), _row);
            }
            finally
            {
                _buffers.Add(buffer);
            }
        }
    }

    /// <summary>Finds all rows, and reads each once.</summary>
    /// <exception cref="InvalidDataException">A row is not one of the kind.</exception>
    public static StreamedRows<T> Index(RecordFile file, Func<RawRow, T> row)
    {
        var rows = new StreamedRows<T>(file, row);
        if (file.HasOffsets)
        {
            rows.Find();
            rows._bytes = File.OpenHandle(file.Path, share: FileShare.ReadWrite | FileShare.Delete, options: FileOptions.RandomAccess);
        }
        else
        {
            rows._unpacked = rows.Unpack();
            rows._bytes = rows._unpacked.SafeFileHandle;
        }

        rows._stamp.Check(file.Path);
        return rows;
    }

    /// <inheritdoc/>
    public IEnumerator<T> GetEnumerator()
    {
        for (var i = 0; i < Count; i++)
        {
            yield return this[i];
        }
    }

    IEnumerator IEnumerable.GetEnumerator() => GetEnumerator();

    private ReadOnlyMemory<byte> Read(Place place, byte[] buffer)
    {
        var read = 0;
        while (read < place.Length)
        {
            var count = RandomAccess.Read(_bytes!, buffer.AsSpan(read, place.Length - read), place.Offset + read);
            read += count > 0 ? count : throw new InvalidDataException($"{_file.Path}: the file ends before a row that it had");
        }

        return buffer.AsMemory(0, place.Length);
    }

    private void Find()
    {
        foreach (var record in _file.Scan())
        {
            _file.Read(record.Number, record.Bytes, _row);
            _places.Add(new(record.Offset, record.Bytes.Length, record.Number));
        }
    }

    // One row of a compressed group cannot be had without the others: they are written out once.
    private FileStream Unpack()
    {
        var path = Path.Combine(TemporaryFolder(), $"reft-rows-{Guid.NewGuid():N}");
        var options = new FileStreamOptions
        {
            Mode = FileMode.CreateNew,
            Access = FileAccess.ReadWrite,
            Share = FileShare.ReadWrite | FileShare.Delete,
            BufferSize = 1 << 16,
            Options = OperatingSystem.IsWindows() ? FileOptions.DeleteOnClose : FileOptions.None,
        };
        if (!OperatingSystem.IsWindows())
        {
            options.UnixCreateMode = UnixFileMode.UserRead | UnixFileMode.UserWrite;
        }

        var stream = new FileStream(path, options);
        try
        {
            if (!OperatingSystem.IsWindows())
            {
                // Its bytes stay until the handle is closed, however the process ends.
                File.Delete(path);
            }

            foreach (var record in _file.Scan())
            {
                _file.Read(record.Number, record.Bytes, _row);
                _places.Add(new(stream.Position, record.Bytes.Length, record.Number));
                stream.Write(record.Bytes.Span);
            }

            stream.Flush();
            return stream;
        }
        catch
        {
            stream.Dispose();
            throw;
        }
    }

    // /tmp is often memory.
    private static string TemporaryFolder() =>
        string.IsNullOrEmpty(Environment.GetEnvironmentVariable("TMPDIR")) && Directory.Exists("/var/tmp") ? "/var/tmp" : Path.GetTempPath();

    private readonly record struct Place(long Offset, int Length, int Number);
}
