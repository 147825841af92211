using System.Text.Json.Nodes;
using Expecto;
using Expecto.CSharp;

namespace Reft.Tests.Monitoring;

/// <summary>Sweeps from C#.</summary>
public static class SweepTests
{
    private static readonly SweepOptions Small = new()
    {
        Axes = [SweepAxis.Parse("rank", "1,2,4"), SweepAxis.Parse("layers", "all;1,2;3", ';'), SweepAxis.LogRange("lr", 1e-4, 1e-2, 3)],
        Eta = 3,
        MinBudget = 1,
        MaxBudget = 9,
    };

    /// <summary>Sweeps.</summary>
    [Tests]
    public static readonly Test Sweeps = Runner.TestList(
        "Sweeps",
        [
            Runner.TestCase("budgets go to the better candidates, and the best is found", Finds),
            Runner.TestCase("a folder is gone on with, whenever the sweep was broken off", Resumes),
            Runner.TestCase("a folder of another sweep, and damaged results, are refused", Refusals),
            Runner.TestCase("candidates that fail are the worst; other errors end the sweep", Failures),
            Runner.TestCase("parallel coordinates put each candidate in its place", Plot),
            Runner.TestCase("the page is well-formed, and settings stay text", Page),
        ]);

    // Best at rank 2, layers 1,2 and a learning rate of 1e-3; larger budgets come nearer to the truth.
    private static double Value(SweepTrial trial)
    {
        var rank = trial.Settings["rank"] == "2" ? 0 : 0.2;
        var layers = trial.Settings["layers"] == "1,2" ? 0 : 0.1;
        var rate = Math.Abs(Math.Log10(double.Parse(trial.Settings["lr"], System.Globalization.CultureInfo.InvariantCulture)) + 3);
        return 1 + rank + layers + rate + (1.0 / trial.Budget);
    }

    private static SweepResult Run(SweepOptions options, Func<SweepTrial, double> value, List<SweepTrial>? ran = null, CancellationToken cancel = default) =>
        Sweep.RunAsync(
            options,
            (trial, _) =>
            {
                ran?.Add(trial);
                return Task.FromResult(value(trial));
            },
            null,
            cancel).GetAwaiter().GetResult();

    private static void Finds()
    {
        var ran = new List<SweepTrial>();
        var result = Run(Small, Value, ran);
        Check.Same([(27, 1), (9, 3), (3, 9)], Sweep.Plan(Small), "the plan");
        Check.Same([(0, 27), (1, 9), (2, 3)], ran.CountBy(trial => trial.Rung).Select(rung => (rung.Key, rung.Value)), "runs of each rung");
        Check.Equal(("2", "1,2", "0.001"), (result.Best!.Trial.Settings["rank"], result.Best.Trial.Settings["layers"], result.Best.Trial.Settings["lr"]), "the best");
        Check.Equal(1 + (1.0 / 9), result.Best.Value, "its value");
        Check.Equal(39, result.Results.Count, "results");
        Check.Equal(27, result.Ranking.Count, "candidates in the ranking");
        Check.Equal(result.Best, result.Ranking[0], "the first of the ranking");
        var worst = Run(Small with { HigherIsBetter = true }, Value);
        Check.That(worst.Best!.Value > 2, "expected the greatest value where greater ones are better");
        var sampled = Run(Small with { Candidates = 10, Seed = 3 }, Value);
        Check.Equal(10, sampled.Ranking.Count, "candidates drawn at random");
        Check.Throws<ArgumentException>(() => Run(Small with { Axes = [] }, Value), "axis");
        Check.Throws<ArgumentException>(() => Run(Small with { MaxBudget = 0 }, Value), "MaxBudget");
    }

    private static void Resumes()
    {
        using var folder = TinyLlama.NewFolder();
        var options = Small with { Folder = folder.File("sweep"), Fixed = new Dictionary<string, string> { ["model"] = "tiny" } };
        var whole = Run(Small, Value);
        var all = new List<SweepTrial>();
        foreach (var most in new[] { 4, 30, int.MaxValue })
        {
            using var cancel = new CancellationTokenSource();
            var ran = new List<SweepTrial>();
            double Counted(SweepTrial trial)
            {
                if (ran.Count == most)
                {
                    cancel.Cancel();
                }

                return Value(trial);
            }

            if (most == int.MaxValue)
            {
                var result = Run(options, Counted, ran, cancel.Token);
                Check.Equal(whole.Best!.Value, result.Best!.Value, "the best");
                Check.Same(whole.Results.Select(one => one.Value), result.Results.Select(one => one.Value), "the results");
            }
            else
            {
                Check.Throws<OperationCanceledException>(() => Run(options, Counted, ran, cancel.Token));
            }

            all.AddRange(ran);
        }

        Check.Equal(39, all.Count, "runs in all: none is repeated");
        Check.Equal(0, RanAgain(), "runs of a sweep that is complete");

        int RanAgain()
        {
            var again = new List<SweepTrial>();
            Run(options, Value, again);
            return again.Count;
        }
    }

    private static void Refusals()
    {
        using var folder = TinyLlama.NewFolder();
        var options = Small with { Folder = folder.Path, Fixed = new Dictionary<string, string> { ["model"] = "tiny" } };
        Run(options, Value);
        Check.Throws<InvalidDataException>(() => Run(options with { Eta = 2 }, Value), "sweep.json", "'eta'", "2", "3");
        Check.Throws<InvalidDataException>(() => Run(options with { Fixed = new Dictionary<string, string> { ["model"] = "other" } }, Value), "'fixed'", "other", "tiny");
        Check.Throws<InvalidDataException>(() => Run(options with { Axes = [.. Small.Axes.Take(2)] }, Value), "'axes'");

        var file = folder.File("trial-00003-rung-00.json");
        var content = File.ReadAllText(file);
        foreach (var (damage, part) in new[] { ("{", "JSON"), ("[]", "object"), (With("budget", 7), "'budget'"), (With("value", "x"), "'value'") })
        {
            File.WriteAllText(file, damage);
            Check.Throws<InvalidDataException>(() => Run(options, Value), "trial-00003-rung-00.json", part);
        }

        string With(string name, JsonNode value)
        {
            var json = JsonNode.Parse(content)!.AsObject();
            json[name] = value;
            return json.ToJsonString();
        }
    }

    private static void Failures()
    {
        using var folder = TinyLlama.NewFolder();
        var options = Small with { Folder = folder.Path };
        double Failing(SweepTrial trial) =>
            trial.Settings["rank"] == "4" ? throw new ArgumentException("the rank is too large")
            : trial.Settings["rank"] == "1" ? double.NaN
            : Value(trial);

        var result = Run(options, Failing);
        Check.Equal("2", result.Best!.Trial.Settings["rank"], "the best");
        Check.Same(
            ["the rank is too large"],
            result.Results.Where(one => one.Trial.Settings["rank"] == "4").Select(one => one.Problem).Distinct(),
            "the problem of a failed run");
        // What failed is tried again, and what did not is read from the folder.
        double Again(SweepTrial trial) => trial.Settings["rank"] == "2" ? throw new IOException("not run") : Failing(trial);
        Check.Same(result.Results, Run(options, Again).Results.Select((one, i) => one with { Trial = result.Results[i].Trial, Duration = result.Results[i].Duration }), "the same from the folder");
        Check.Throws<IOException>(() => Run(Small, _ => throw new IOException("no disk")), "no disk");
        var none = Run(Small, _ => double.NaN);
        Check.Equal(null, none.Best, "the best of none");
        Check.Equal(0, SweepPlot.Of(none, "loss").Lines.Count, "lines of none");
    }

    private static void Plot()
    {
        var plot = SweepPlot.Of(Run(Small, Value), "loss");
        Check.Same(["rank", "layers", "lr", "loss"], plot.Axes.Select(axis => axis.Name), "axes");
        Check.Same(["1", "2", "4"], plot.Axes[0].Ticks.Select(tick => tick.Label), "ranks");
        Check.That(Math.Abs(plot.Axes[0].Ticks[1].Place - (1.0 / 3)) < 1e-9, "expected ranks by their size");
        Check.Same(["1,2", "3", "all"], plot.Axes[1].Ticks.Select(tick => tick.Label), "layers one after another");
        Check.That(Math.Abs(plot.Axes[2].Ticks[1].Place - 0.5) < 1e-9, "expected rates by their order of magnitude");
        Check.Equal(27, plot.Lines.Count, "lines");
        Check.Equal(1.0, plot.Lines[^1].Quality, "the quality of the best, drawn last");
        Check.That(plot.Lines.All(line => line.Places.All(place => place is >= 0 and <= 1)), "places within the axes");
    }

    private static void Page()
    {
        const string Evil = "</td><script>x</script>\u0001";
        var options = Small with { Axes = [SweepAxis.Choices("a", Evil, "b"), SweepAxis.Range("lr", 0, 1, 2)], MaxBudget = 1 };
        var page = Pages.Read(SweepReport.ToHtml(Run(options, trial => trial.Settings["a"].Length), "loss", "steps"));
        Check.That(page.Descendants("td").Any(cell => cell.Value == "</td><script>x</script>\ufffd"), "expected the setting as text");
        Check.Equal(4, page.Descendants("polyline").Count(), "lines");
        Pages.Read(SweepReport.ToHtml(Run(options, _ => double.NaN)));
    }
}
