using System.Collections;
using Reft.Internal;

namespace Reft;

/// <summary>The hidden state of one token at one site, as <see cref="ReftModel.Collect(IEnumerable{DataRow}, SiteSet, Positions, CollectOptions)"/> read it.</summary>
/// <param name="Site">Where in the model, e.g. <c>layers.7.block_output</c>.</param>
/// <param name="Row">The row, counted from 0 among those that were given.</param>
/// <param name="Token">The token, counted from 0 in its row.</param>
/// <param name="Values">The hidden state, as fp32. Its length is the width of the site.</param>
public sealed record CollectedActivation(string Site, int Row, int Token, ReadOnlyMemory<float> Values)
{
    /// <summary>The width of the site.</summary>
    public int Width => Values.Length;
}

/// <summary>
/// The activations of a run: site by site, row by row, and within a row in the order of the positions. Read them for
/// analysis, make vectors of them (<see cref="ReadingVectors"/>), or let interchanges put them in other runs' place:
/// <see cref="GenerationOptions.Sources"/>, <see cref="TrainingData.WithSources"/>.
/// </summary>
public sealed class CollectedActivations : IReadOnlyList<CollectedActivation>
{
    /// <summary>What a run is called where no name is given: interchanges read the source <c>source</c>.</summary>
    public const string DefaultName = "source";

    private readonly IReadOnlyList<SiteActivations> _sites;

    internal CollectedActivations(string name, int rowCount, IReadOnlyList<SiteActivations> sites)
    {
        Name = name;
        RowCount = rowCount;
        _sites = sites;
    }

    /// <summary>What the run is called by the interventions that read it.</summary>
    public string Name { get; }

    /// <summary>The number of rows that were run, those without a collected token included.</summary>
    public int RowCount { get; }

    /// <summary>The sites, in order.</summary>
    public IReadOnlyList<string> Sites => [.. _sites.Select(site => site.Site.ToString())];

    /// <summary>The number of hidden states of all sites.</summary>
    public int Count => _sites.Sum(site => site.Count);

    /// <summary>The hidden state of a number.</summary>
    /// <exception cref="ArgumentOutOfRangeException">There is none of that number.</exception>
    public CollectedActivation this[int index]
    {
        get
        {
            var rest = index;
            foreach (var site in _sites)
            {
                if (rest >= 0 && rest < site.Count)
                {
                    return site[rest];
                }

                rest -= site.Count;
            }

            throw new ArgumentOutOfRangeException(nameof(index), index, $"expected 0 … {Count - 1}");
        }
    }

    /// <summary>The same activations under another name, for a run that reads several.</summary>
    /// <exception cref="ArgumentException">The name is empty.</exception>
    public CollectedActivations As(string name)
    {
        ArgumentException.ThrowIfNullOrWhiteSpace(name);
        return new(name, RowCount, _sites);
    }

    /// <summary>Those of one site.</summary>
    /// <exception cref="ArgumentException">It was not collected: the message lists those that were.</exception>
    public CollectedActivations At(string site) =>
        new(
            Name,
            RowCount,
            [_sites.FirstOrDefault(known => known.Site.ToString() == site) ?? throw new ArgumentException(
                $"'{site}' was not collected: there are {string.Join(", ", Sites)}", nameof(site))]);

    /// <inheritdoc/>
    public IEnumerator<CollectedActivation> GetEnumerator() =>
        _sites.SelectMany(site => Enumerable.Range(0, site.Count).Select(i => site[i])).GetEnumerator();

    IEnumerator IEnumerable.GetEnumerator() => GetEnumerator();

    /// <summary>Some rows of it as Core reads them, numbered anew; on the current dispose scope.</summary>
    internal IEnumerable<Core.Activations> ForRows(IReadOnlyList<int> rows, TorchSharp.torch.Device device)
    {
        if (rows.FirstOrDefault(row => row >= RowCount, -1) is >= 0 and var missing)
        {
            throw new ArgumentException(
                $"row {missing} has no source: '{Name}' was collected from {RowCount} rows, and row i of a source stands for row i of the run that reads it",
                nameof(rows));
        }

        var numbers = rows.Select((row, i) => (row, i)).ToLookup(pair => pair.row, pair => pair.i);
        return _sites.Select(site => site.ForRows(Name, numbers, device));
    }

    /// <summary>All rows of its only site.</summary>
    internal TorchSharp.torch.Tensor Matrix(string use) =>
        _sites is [{ Count: > 0 } only]
            ? only.Matrix()
            : throw new ArgumentException(
                _sites.Count == 1
                    ? $"{use} needs at least one collected token, found none"
                    : $"{use} is of one site: choose one of {string.Join(", ", Sites)} by At", use);
}
