using TorchSharp;

namespace Reft.Tests;

/// <summary>
/// An intervention of a user's own, with every kind of parameter: Δ = Q tanh(W (h − mean) + b), where Q is the
/// orthonormal image of a free matrix, and the mean a constant.
/// </summary>
internal sealed class LowRankShift(int rank, torch.Tensor mean, List<string>? log = null) : IIntervention
{
    public string Name => $"low-rank-shift-{rank}";

    public ParameterShapes Parameters(int width) => new()
    {
        { "free", ParameterStart.Normal, width, rank },
        { "weight", (w, seed) => Drawn(seed, rank, w), ParameterRole.Decayed },
        { "bias", rank },
        { "mean", mean, ParameterRole.Constant },
    };

    public IReadOnlyDictionary<string, torch.Tensor> Prepare(IReadOnlyDictionary<string, torch.Tensor> parameters)
    {
        log?.Add("prepare");
        var (q, _) = torch.linalg.qr(parameters["free"]);
        return new Dictionary<string, torch.Tensor>(parameters) { ["columns"] = q };
    }

    public torch.Tensor Change(IReadOnlyDictionary<string, torch.Tensor> parameters, InterventionRows rows, torch.Tensor hidden)
    {
        log?.Add($"{rows.Site} {rows.Count} {rows.IsTraining} {string.Join(',', rows.BatchRows)} {string.Join(',', rows.Subspaces(0))}");
        var inner = torch.nn.functional.linear(hidden - parameters["mean"], parameters["weight"], parameters["bias"]).tanh();
        if (rows.IsTraining)
        {
            inner *= rows.Uniform(0, 1, inner.shape).ge(0.1);
        }

        return torch.nn.functional.linear(inner, parameters["columns"]);
    }

    private static torch.Tensor Drawn(long seed, int rows, int columns)
    {
        using var generator = new torch.Generator((ulong)seed);
        return torch.randn(rows, columns, generator: generator) / Math.Sqrt(columns);
    }
}
