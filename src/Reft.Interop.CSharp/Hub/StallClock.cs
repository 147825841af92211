namespace Reft.Internal;

/// <summary>Gives a connection up when too little comes in the stall time: nothing, or a trickle that would never end.</summary>
internal sealed class StallClock : IDisposable
{
    private const int LeastBytes = 1024;
    private readonly CancellationTokenSource _stop;
    private readonly CancellationToken _caller;
    private readonly TimeSpan _patience;
    private long _since;

    public StallClock(TimeSpan patience, CancellationToken caller)
    {
        _caller = caller;
        _patience = patience;
        _stop = CancellationTokenSource.CreateLinkedTokenSource(caller);
        _stop.CancelAfter(patience);
    }

    /// <summary>For the operations that the clock watches.</summary>
    public CancellationToken Token => _stop.Token;

    /// <summary>Whether it was the clock that ended them.</summary>
    public bool Expired => _stop.IsCancellationRequested && !_caller.IsCancellationRequested;

    /// <summary>Something came.</summary>
    public void Arrived(int bytes)
    {
        _since += bytes;
        if (_since >= LeastBytes)
        {
            _since = 0;
            _stop.CancelAfter(_patience);
        }
    }

    public void Dispose() => _stop.Dispose();
}
