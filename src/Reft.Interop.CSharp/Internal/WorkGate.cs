namespace Reft.Internal;

/// <summary>
/// Who uses a model: many may read it at once, one alone may change it, and it is freed only when nobody does.
/// </summary>
internal sealed class WorkGate : IDisposable
{
    private readonly Lock _lock = new();
    private readonly CancellationTokenSource _closing = new();
    private readonly ManualResetEventSlim _idle = new(initialState: true);
    private int _readers;
    private bool _changing;
    private bool _closed;

    /// <summary>Cancelled when the model is being disposed of.</summary>
    public CancellationToken Closing => _closing.Token;

    /// <summary>Until the result is disposed of, the model is not changed.</summary>
    public IDisposable Read()
    {
        lock (_lock)
        {
            Refuse(_changing, "the model is being trained or changed: wait until that is done");
            _readers++;
            _idle.Reset();
            return new Leave(() => _readers--, this);
        }
    }

    /// <summary>Until the result is disposed of, the model is not used by others.</summary>
    public IDisposable Change()
    {
        lock (_lock)
        {
            Refuse(_changing || _readers > 0, "the model is in use: wait until training, generating and scoring are done");
            _changing = true;
            _idle.Reset();
            return new Leave(() => _changing = false, this);
        }
    }

    /// <summary>Refuses new work, tells running work to stop and waits until it has; whether this was the first time.</summary>
    public bool Close()
    {
        lock (_lock)
        {
            if (_closed)
            {
                return false;
            }

            _closed = true;
        }

        _closing.Cancel();
        _idle.Wait();
        lock (_lock)
        {
            // Whoever was last to leave has let go of the gate, so that it may be disposed of.
            return true;
        }
    }

    public void Dispose()
    {
        _closing.Dispose();
        _idle.Dispose();
    }

    private void Refuse(bool busy, string message)
    {
        ObjectDisposedException.ThrowIf(_closed, typeof(ReftModel));
        if (busy)
        {
            throw new InvalidOperationException(message);
        }
    }

    private sealed class Leave(Action leave, WorkGate gate) : IDisposable
    {
        private bool _left;

        public void Dispose()
        {
            lock (gate._lock)
            {
                if (_left)
                {
                    return;
                }

                _left = true;
                leave();
                if (gate._readers == 0 && !gate._changing)
                {
                    gate._idle.Set();
                }
            }
        }
    }
}
