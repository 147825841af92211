using TorchSharp;

namespace Reft.Internal;

/// <summary>The hidden states of one site, as plain numbers: nothing to free, and any thread may read them.</summary>
internal sealed record SiteActivations(Core.Site Site, int[] Rows, int[] Tokens, int Width, float[] Values)
{
    public int Count => Rows.Length;

    public CollectedActivation this[int i] => new(Site.ToString(), Rows[i], Tokens[i], Values.AsMemory(i * Width, Width));

    /// <summary>What Core collected of a batch whose first row has a number.</summary>
    public static SiteActivations Of(Core.Activations found, int firstRow)
    {
        using var scope = torch.NewDisposeScope();
        var width = (int)found.Values.shape[1];
        return new(
            found.Site,
            [.. found.Rows.Select(row => row + firstRow)],
            found.Tokens,
            width,
            found.Rows.Length == 0 ? [] : found.Values.to(torch.float32).cpu().contiguous().data<float>().ToArray());
    }

    /// <summary>Those of several batches of one site.</summary>
    public static SiteActivations Concat(IReadOnlyList<SiteActivations> parts) =>
        new(
            parts[0].Site,
            [.. parts.SelectMany(part => part.Rows)],
            [.. parts.SelectMany(part => part.Tokens)],
            parts[0].Width,
            [.. parts.SelectMany(part => part.Values)]);

    /// <summary>[n, width] fp32</summary>
    public torch.Tensor Matrix() => torch.tensor(Values).view(Count, Width);

    /// <summary>Those of some rows, under the numbers that a batch gives them; a row may stand for several.</summary>
    public Core.Activations ForRows(string name, ILookup<int, int> numbers, torch.Device device)
    {
        var chosen = Enumerable.Range(0, Count).SelectMany(i => numbers[Rows[i]].Select(number => (number, i))).ToArray();
        return new Core.Activations(
            name,
            Site,
            [.. chosen.Select(pair => pair.number)],
            [.. chosen.Select(pair => Tokens[pair.i])],
            torch.tensor(chosen.SelectMany(pair => Values.AsMemory(pair.i * Width, Width).ToArray()).ToArray())
                .view(chosen.Length, Width)
                .to(device));
    }
}
