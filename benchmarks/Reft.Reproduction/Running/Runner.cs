using System.Diagnostics;
using System.Globalization;

namespace Reft.Reproduction;

/// <summary>What a command did.</summary>
internal sealed record RunnerOutcome(int Done, int Earlier, int Failed, int Left, bool Stopped);

/// <summary>
/// Does the runs that the studies ask for and that are not there yet, the most telling first. After each run the studies are
/// asked again, so that choices follow from results.
/// </summary>
internal sealed class Runner(IReadOnlyList<IStudy> studies, RunFolder folder, Func<IReadOnlyList<FinishedRun>, StudyContext> contextOf)
{
    private readonly HashSet<string> _tried = new(StringComparer.Ordinal);

    /// <summary>What is wanted now, in its order, and of it what is finished.</summary>
    public IReadOnlyList<(IStudy Study, PlannedRun Run, string Fingerprint, bool Finished)> Plan()
    {
        var finished = folder.Read(studies);
        var fingerprints = finished.Select(run => run.Fingerprint).ToHashSet(StringComparer.Ordinal);
        return [.. studies
            .SelectMany(study => study
                .Plan(contextOf([.. finished.Where(run => run.Key.Study == study.Name)]))
                .Select(run => (Study: study, Run: run, Fingerprint: folder.Fingerprint(run.Key, study.Version)!)))
            .Select(wanted => (wanted.Study, wanted.Run, wanted.Fingerprint, fingerprints.Contains(wanted.Fingerprint)))
            .OrderBy(wanted => wanted.Run.Priority)];
    }

    /// <summary>Runs until nothing is wanted, the time is over or it is stopped. A run that has begun is finished.</summary>
    public async Task<RunnerOutcome> RunAsync(int jobs, TimeSpan? most, CancellationToken stop)
    {
        var clock = Stopwatch.StartNew();
        var running = new Dictionary<Task<bool>, (string Fingerprint, bool Alone)>();
        var (done, failed, stopped) = (0, 0, false);
        var earlier = Plan().Count(wanted => wanted.Finished);
        try
        {
            while (true)
            {
                var plan = Plan();
                var left = plan.Where(wanted => !wanted.Finished && !_tried.Contains(wanted.Fingerprint)).ToArray();
                var outOfTime = most is { } limit && clock.Elapsed >= limit;
                while (!outOfTime && left is [var next, ..] && running.Count < jobs && MayStart(next.Run))
                {
                    _tried.Add(next.Fingerprint);
                    var progress = $"{plan.Count - left.Length + 1}/{plan.Count}";
                    running.Add(RunOneAsync(next.Study, next.Run.Key, next.Fingerprint, progress, stop), (next.Fingerprint, next.Run.Alone));
                    left = left[1..];
                }

                if (running.Count == 0)
                {
                    return new RunnerOutcome(done, earlier, failed, left.Length, stopped);
                }

                var ended = await Task.WhenAny(running.Keys).ConfigureAwait(false);
                running.Remove(ended);
                if (await ended.ConfigureAwait(false))
                {
                    done++;
                }
                else
                {
                    failed++;
                }
            }
        }
        catch (OperationCanceledException)
        {
            stopped = true;
            await Task.WhenAll(running.Keys.Select(Ended)).ConfigureAwait(false);
            return new RunnerOutcome(done, earlier, failed, Plan().Count(wanted => !wanted.Finished), stopped);
        }

        bool MayStart(PlannedRun run) => running.Count == 0 || (!run.Alone && !running.Values.Any(other => other.Alone));

        static async Task Ended(Task task)
        {
            await task.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }
    }

    private async Task<bool> RunOneAsync(IStudy study, RunKey key, string fingerprint, string progress, CancellationToken stop)
    {
        try
        {
            stop.ThrowIfCancellationRequested();
            var run = await RunProcess.RunAsync(key, fingerprint, contextOf([]), stop).ConfigureAwait(false);
            folder.Write(run);
            Say($"{run.Seconds:0.0} s, {run.PeakMegabytes:0} MB  {Shown(run.Result)}");
            return true;
        }
        catch (FailedRunException e)
        {
            folder.WriteFailure(key, fingerprint, e.Message);
            Say($"FAILED: {e.Message.Split('\n')[0]}");
            return false;
        }

        void Say(FormattableString text) =>
            Console.Error.WriteLine($"[{DateTime.Now:HH:mm:ss}] {progress} {key}: {text.ToString(CultureInfo.InvariantCulture)}");

        static string Shown(RunResult result) => string.Join(", ", result.Numbers.Take(6).Select(
            number => string.Create(CultureInfo.InvariantCulture, $"{number.Key} {number.Value:0.####}")));
    }
}
