using System.Runtime.InteropServices;

namespace Reft.Cli;

/// <summary>Ctrl-C and SIGTERM: the first asks for a stop between two steps, the second ends the process at once.</summary>
internal sealed class StopSignals : IDisposable
{
    private const int Sigint = 2;
    private const int Sigterm = 15;

    private readonly CancellationTokenSource _stop = new();
    private readonly PosixSignalRegistration _interrupt;
    private readonly PosixSignalRegistration _terminate;
    private int _exitCode;

    public StopSignals()
    {
        _interrupt = PosixSignalRegistration.Create(PosixSignal.SIGINT, signal => Stop(signal, Sigint));
        _terminate = PosixSignalRegistration.Create(PosixSignal.SIGTERM, signal => Stop(signal, Sigterm));
    }

    /// <summary>Cancelled by the first signal.</summary>
    public CancellationToken Token => _stop.Token;

    /// <summary>The exit code that the signal asks for.</summary>
    public int RequestedExit => _exitCode;

    public void Dispose()
    {
        _interrupt.Dispose();
        _terminate.Dispose();
        _stop.Dispose();
    }

    private void Stop(PosixSignalContext signal, int number)
    {
        if (Interlocked.CompareExchange(ref _exitCode, ExitCode.OfSignal(number), 0) != 0)
        {
            Terminal.ShowCursor();
            return;
        }

        signal.Cancel = true;
        Console.Error.WriteLine("stopping after this step; a second signal stops at once and saves nothing");
        _stop.Cancel();
    }
}
