using System.Runtime.InteropServices;

namespace Reft.Reproduction;

/// <summary>What a run was done on.</summary>
internal static class Machine
{
    public static string Describe()
    {
        const string Info = "/proc/cpuinfo";
        var name = File.Exists(Info)
            ? File.ReadLines(Info).FirstOrDefault(line => line.StartsWith("model name", StringComparison.Ordinal))?.Split(':')[^1].Trim()
            : null;
        var torch = typeof(TorchSharp.torch).Assembly.GetName().Version?.ToString(3);
        return $"{name ?? RuntimeInformation.ProcessArchitecture.ToString()}, {Environment.ProcessorCount} cores, "
            + $"{RuntimeInformation.FrameworkDescription}, TorchSharp {torch}";
    }
}
