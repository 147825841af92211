using System.Diagnostics;

namespace Reft.Internal;

/// <summary>What has come of all files, reported a few times a second.</summary>
internal sealed class HubTally(HubRepository repository, IProgress<HubProgress>? progress)
{
    private static readonly TimeSpan Interval = TimeSpan.FromMilliseconds(100);

    private readonly Lock _lock = new();
    private readonly Dictionary<string, (long Bytes, long Size)> _files = new(StringComparer.Ordinal);
    private readonly Stopwatch _silence = Stopwatch.StartNew();
    private int _complete;

    /// <summary>A file will be downloaded.</summary>
    public void Expect(HubFile file)
    {
        lock (_lock)
        {
            _files[file.Name] = (0, file.Size);
        }
    }

    /// <summary>So much of it is there; less than before if it had to begin anew.</summary>
    public void Set(HubFile file, long bytes)
    {
        lock (_lock)
        {
            _files[file.Name] = (bytes, file.Size);
            if (_silence.Elapsed >= Interval)
            {
                Report(file.Name, null);
            }
        }
    }

    /// <summary>It is complete.</summary>
    public void Complete(HubFile file)
    {
        lock (_lock)
        {
            _files[file.Name] = (file.Size, file.Size);
            _complete++;
            Report(file.Name, null);
        }
    }

    /// <summary>News for a person.</summary>
    public void Say(string notice)
    {
        lock (_lock)
        {
            Report("", notice);
        }
    }

    private void Report(string file, string? notice)
    {
        _silence.Restart();
        progress?.Report(new HubProgress
        {
            Repository = repository.ToString(),
            File = file,
            Bytes = _files.Values.Sum(f => f.Bytes),
            TotalBytes = _files.Values.Sum(f => f.Size),
            Files = _complete,
            TotalFiles = _files.Count,
            Notice = notice,
        });
    }
}
