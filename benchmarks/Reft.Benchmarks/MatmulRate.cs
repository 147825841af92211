using System.Diagnostics;
using Reft.Core;
using static TorchSharp.torch;

namespace Reft.Benchmarks;

/// <summary>Matrix products per second on this machine: what no implementation of a training step can beat.</summary>
internal static class MatmulRate
{
    private const int Repeats = 15;

    /// <summary>Prints GFLOP/s for the product of [1024, 512] and [1376, 512]ᵀ, one MLP projection of the small model.</summary>
    public static void Run()
    {
        Native.load();
        Console.WriteLine($"threads {get_num_threads()}");
        foreach (var dtype in new[] { ScalarType.Float32, ScalarType.BFloat16 })
        {
            Console.WriteLine($"{dtype,-9} {GigaflopsPerSecond(1024, 512, 1376, dtype),8:F1} GFLOP/s");
        }
    }

    private static double GigaflopsPerSecond(long rows, long inner, long columns, ScalarType dtype)
    {
        using var scope = NewDisposeScope();
        using var noGradient = no_grad();
        var x = ones(rows, inner, dtype);
        var w = ones(columns, inner, dtype);
        var seconds = new double[Repeats];
        for (var i = 0; i < Repeats; i++)
        {
            var clock = Stopwatch.GetTimestamp();
            using var y = nn.functional.linear(x, w);
            seconds[i] = Stopwatch.GetElapsedTime(clock).TotalSeconds;
        }

        Array.Sort(seconds);
        return 2.0 * rows * inner * columns / seconds[Repeats / 2] / 1e9;
    }
}
