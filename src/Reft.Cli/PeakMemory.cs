using System.Diagnostics;

namespace Reft.Cli;

/// <summary>The most memory that this process has had.</summary>
internal static class PeakMemory
{
    /// <summary>Its largest resident set so far, mapped files included; VmHWM of Linux.</summary>
    public static long Bytes()
    {
        using var self = Process.GetCurrentProcess();
        return self.PeakWorkingSet64;
    }
}
