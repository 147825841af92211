using Reft.Internal;

namespace Reft;

/// <content>One direction that detects and writes, and several subspaces in one edit.</content>
public static partial class Interventions
{
    /// <summary>
    /// ReFT-r1: h + (1/k) ‖TopK(a)‖₁ w with a = ReLU(h·w) and ‖w‖ = 1, the top k over an example's edited rows
    /// (AxBench, arXiv 2501.17148). One direction that finds a concept and writes it.
    /// </summary>
    /// <param name="topK">How many of an example's latents count.</param>
    /// <exception cref="ArgumentException">The number is not positive.</exception>
    public static ReftIntervention ReftR1(int topK) => Forms.Method("reft_r1", ("top_k", topK));

    /// <summary>
    /// LoReFT whose latent rows are divided into parts, which each row of the data switches on by itself
    /// (<see cref="DataRow.Subspaces"/>; none said, all act): parts trained on different tasks share one R.
    /// </summary>
    /// <param name="rank">The number of latent rows.</param>
    /// <param name="partition">Each row once, parts apart by semicolons: <c>0-3;4-7</c>, <c>0,2;1,3</c>.</param>
    /// <exception cref="ArgumentException">The text is no partition of the rows.</exception>
    public static ReftIntervention PartitionedLoreft(int rank, string partition) =>
        Forms.Method("partitioned_loreft", ("rank", rank), ("partition", partition));

    /// <summary>
    /// Several LoReFTs in mutually orthogonal subspaces, weighed by a router that reads h (CS-ReFT, arXiv 2503.10617):
    /// h + Σᵢ αᵢ(h) Rᵢᵀ(Wᵢ h + bᵢ − Rᵢ h).
    /// </summary>
    /// <param name="rank">The rank of each subspace.</param>
    /// <param name="experts">How many there are; rank × experts must fit the width.</param>
    /// <param name="softmax">Whether the weights add up to 1; else each is a sigmoid of its own.</param>
    /// <exception cref="ArgumentException">A number is not positive.</exception>
    public static ReftIntervention RoutedLoreft(int rank, int experts, bool softmax = false) =>
        Forms.Method("routed_loreft", ("rank", rank), ("experts", experts), ("router", softmax ? "softmax" : null));
}
