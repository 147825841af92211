namespace Reft.Cli;

/// <summary>What the process says to its caller.</summary>
internal static class ExitCode
{
    public const int Success = 0;

    /// <summary>The command could not do what it was asked.</summary>
    public const int Failure = 1;

    /// <summary>The command line itself is wrong.</summary>
    public const int Usage = 2;

    /// <summary>Whoever read the output stopped, as shells report it of any filter: 128 + SIGPIPE.</summary>
    public const int OutputClosed = 141;

    /// <summary>Stopped by a signal, as shells report it.</summary>
    public static int OfSignal(int number) => 128 + number;
}
