using System.Diagnostics;
using Microsoft.FSharp.Core;
using Reft.Internal;

namespace Reft;

/// <summary>Searching for good settings.</summary>
public static class Sweep
{
    /// <summary>
    /// Runs a sweep, one run after another. What a run is, is yours: it gets a candidate's settings and a budget, and gives the
    /// value of a metric, e.g. the held-out loss after so many steps. A candidate that goes on starts afresh with the larger
    /// budget, so that every run is one that you could do by itself.
    /// </summary>
    /// <param name="options">The space and the budgets.</param>
    /// <param name="run">
    /// Does one run. If it diverges or its settings are not possible (<see cref="DivergenceException"/>,
    /// <see cref="ArgumentException"/>, <see cref="InvalidOperationException"/>), the candidate is the worst; every other
    /// exception ends the sweep.
    /// </param>
    /// <param name="progress">Told after each run, those of the folder included.</param>
    /// <param name="cancellationToken">
    /// Ends it, with <see cref="OperationCanceledException"/>; with a <see cref="SweepOptions.Folder"/>, the same call goes on.
    /// </param>
    /// <exception cref="ArgumentException">An option is out of range.</exception>
    /// <exception cref="InvalidDataException">The folder holds another sweep, or damaged results: the message says what differs.</exception>
    public static async Task<SweepResult> RunAsync(
        SweepOptions options,
        Func<SweepTrial, CancellationToken, Task<double>> run,
        IProgress<SweepTrialResult>? progress = null,
        CancellationToken cancellationToken = default)
    {
        var names = options.Axes.Select(axis => axis.Name).ToArray();
        var candidates = Candidates(options);
        var halving = new Core.Halving(options.Eta, options.MinBudget, options.MaxBudget);
        Core.SuccessiveHalving.rungs(halving, candidates.Count);
        var better = options.HigherIsBetter ? Core.Better.Higher : Core.Better.Lower;
        var folder = options.Folder is null ? null : SweepFolder.Open(options.Folder, options, candidates);
        var results = new Dictionary<(int Candidate, int Rung), SweepTrialResult>();
        Func<int, int, FSharpOption<double>?> known = (candidate, rung) =>
            results.TryGetValue((candidate, rung), out var result) ? FSharpOption<double>.Some(result.Value) : FSharpOption<double>.None;

        while (true)
        {
            var next = Core.SuccessiveHalving.next(halving, better, candidates.Count, known.ToFSharpFunc());
            if (next is Core.HalvingStep.Finished finished)
            {
                var last = results.Keys.Max(key => key.Rung);
                return new SweepResult
                {
                    Axes = names,
                    Results = [.. results.OrderBy(result => (result.Key.Rung, result.Key.Candidate)).Select(result => result.Value)],
                    HigherIsBetter = options.HigherIsBetter,
                    Best = finished.best.ToNullable() is { } best ? results[(best, last)] : null,
                };
            }

            var step = (Core.HalvingStep.Run)next;
            var trial = new SweepTrial(
                step.candidate, step.rung, step.budget, names.Zip(candidates[step.candidate]).ToDictionary(pair => pair.First, pair => pair.Second));
            var result = folder?.Read(trial);
            if (result is null)
            {
                cancellationToken.ThrowIfCancellationRequested();
                result = await Run(trial, run, cancellationToken).ConfigureAwait(false);
                folder?.Write(result);
            }

            results[(trial.Candidate, trial.Rung)] = result;
            progress?.Report(result);
        }
    }

    /// <summary>The number of runs on each rung of a sweep, and their budget, before it is run.</summary>
    /// <exception cref="ArgumentException">An option is out of range.</exception>
    public static IReadOnlyList<(int Runs, int Budget)> Plan(SweepOptions options) =>
        [.. Core.SuccessiveHalving
            .rungs(new Core.Halving(options.Eta, options.MinBudget, options.MaxBudget), Candidates(options).Count)
            .Select(rung => (rung.Item1, rung.Item2))];

    private static List<string[]> Candidates(SweepOptions options)
    {
        var axes = options.Axes.Select(axis => axis.Value).ToFSharpList();
        if (axes.IsEmpty)
        {
            throw new ArgumentException("expected at least one axis to search, found none", nameof(options));
        }

        var found = options.Candidates is { } count
            ? Core.SearchSpace.sample(options.Seed, count, axes)
            : Core.SearchSpace.grid(axes);
        return [.. found.Select(candidate => candidate.ToArray())];
    }

    private static async Task<SweepTrialResult> Run(
        SweepTrial trial, Func<SweepTrial, CancellationToken, Task<double>> run, CancellationToken cancel)
    {
        var clock = Stopwatch.StartNew();
        try
        {
            var value = await run(trial, cancel).ConfigureAwait(false);
            return new SweepTrialResult(
                trial, double.IsFinite(value) ? value : double.NaN, clock.Elapsed, double.IsFinite(value) ? null : "the metric is not a finite number");
        }
        catch (Exception e) when (e is DivergenceException or ArgumentException or InvalidOperationException and not ObjectDisposedException)
        {
            return new SweepTrialResult(trial, double.NaN, clock.Elapsed, e.Message);
        }
    }
}
