using System.Diagnostics;
using ScottPlot;

namespace Reft.Reproduction;

/// <summary>
/// What edits cost while text is generated, as in the paper's appendix H: with more layers, ranks and positions, on the prompt
/// alone and on every token.
/// </summary>
/// <remarks>
/// Each round generates once with every way, in an order of its own, and takes the ratio to the model without edits of the
/// same round: what disturbs the machine for longer than a round disturbs both. No parameters are trained: their values cost nothing.
/// </remarks>
internal sealed class LatencyStudy : IStudy
{
    private const int PromptTokens = 32;

    public string Name => "latency";

    public string Version => "1";

    public IEnumerable<PlannedRun> Plan(StudyContext context)
    {
        var (tokens, rounds) = context.Scope switch
        {
            Scope.Smoke => (4, 2),
            Scope.Subset => (64, 31),
            _ => (128, 101),
        };
        return from model in context.Scope == Scope.Smoke ? [StudyContext.Base] : context.Models
               select new PlannedRun(RunKey.Of(Name, model, "decoding", "all", 1, ("tokens", $"{tokens}"), ("rounds", $"{rounds}")), 3, Alone: true);
    }

    public Task<RunResult> RunAsync(RunKey key, StudyContext context, CancellationToken stop)
    {
        var folder = context.Folders[key.Model];
        var ways = WaysOf(ModelShape.Layers(folder));
        ReftModel[] models = [ReftModel.Load(folder), .. ways.Select(_ => ReftModel.Load(folder))];
        try
        {
            foreach (var (way, model) in ways.Zip(models.Skip(1)))
            {
                way.Attach(model);
            }

            int[] prompt = [.. Enumerable.Range(0, PromptTokens).Select(i => 100 + (37 * i % 900))];
            GenerationOptions options = new() { MaxNewTokens = key.Count("tokens"), IgnoreEos = true };
            foreach (var model in models)
            {
                model.Generate(prompt, options);
            }

            Random order = new((int)key.Seed);
            List<double>[] seconds = [.. models.Select(_ => new List<double>())];
            for (int round = 0; round < key.Count("rounds"); round++)
            {
                stop.ThrowIfCancellationRequested();
                int[] turns = [.. Enumerable.Range(0, models.Length)];
                order.Shuffle(turns);
                foreach (int turn in turns)
                {
                    var began = Stopwatch.GetTimestamp();
                    models[turn].Generate(prompt, options);
                    seconds[turn].Add(Stopwatch.GetElapsedTime(began).TotalSeconds);
                }
            }

            Dictionary<string, double> numbers = new() { ["base_seconds"] = Quantile(seconds[0], 0.5) };
            foreach (var (i, way) in ways.Index())
            {
                List<double> ratios = [.. seconds[i + 1].Zip(seconds[0], (with, without) => with / without)];
                numbers[$"ratio {way.Name}"] = Quantile(ratios, 0.5);
                numbers[$"low {way.Name}"] = Quantile(ratios, 0.25);
                numbers[$"high {way.Name}"] = Quantile(ratios, 0.75);
            }

            return Task.FromResult(new RunResult { Numbers = numbers });
        }
        finally
        {
            foreach (var model in models)
            {
                model.Dispose();
            }
        }
    }

    public void Report(ReportPage page, StudyContext context)
    {
        if (context.Scope == Scope.Smoke)
        {
            return;
        }

        foreach (var model in context.Models)
        {
            var run = context.Runs.FirstOrDefault(found => found.Key.Model == model && found.Key.Count("tokens") > 4);
            var ways = WaysOf(ModelShape.Layers(context.Folders[model]));
            var suffix = model == StudyContext.Base ? "" : $"-{model}";
            page.Table(
                "latency" + suffix,
                ["edits", "time relative to none", "half of the rounds lie in"],
                [
                    ["none", run is null ? ReportPage.NotRun : $"1 ({run["base_seconds"] * 1000:0} ms for {run.Key["tokens"]} tokens)", ""],
                    .. ways.Select(way => (IReadOnlyList<string>)
                    [
                        way.Shown,
                        run is null ? ReportPage.NotRun : $"{run[$"ratio {way.Name}"]:0.000}",
                        run is null ? ReportPage.NotRun : $"{run[$"low {way.Name}"]:0.000}–{run[$"high {way.Name}"]:0.000}",
                    ]),
                ]);
            if (run is null)
            {
                continue;
            }

            Plot plot = new();
            foreach (var (i, way) in ways.Index())
            {
                double middle = run[$"ratio {way.Name}"];
                plot.Add.Line(i, run[$"low {way.Name}"], i, run[$"high {way.Name}"]).LineWidth = 2;
                plot.Add.Marker(i, middle);
            }

            plot.Add.HorizontalLine(1, 1, Colors.Gray, LinePattern.Dashed);
            plot.Axes.Bottom.TickGenerator = new ScottPlot.TickGenerators.NumericManual(
                Enumerable.Range(0, ways.Count).Select(way => (double)way).ToArray(), ways.Select(way => way.Name).ToArray());
            plot.Axes.Bottom.TickLabelStyle.Rotation = -60;
            plot.Axes.Bottom.TickLabelStyle.Alignment = Alignment.MiddleRight;
            plot.Axes.Bottom.MinimumSize = 150;
            plot.YLabel("time to generate, relative to no edits");
            plot.Title($"{model}: {run.Key["tokens"]} tokens after a prompt of {PromptTokens}; median and middle half of {run.Key["rounds"]} rounds");
            page.Picture("latency" + suffix, plot);
        }
    }

    private sealed record TimedWay(string Name, string Shown, Action<ReftModel> Attach);

    // Rank 4, f5+l5 and all layers, but for what is varied; then those of the questions.
    private static IReadOnlyList<TimedWay> WaysOf(int layers)
    {
        int[] counts = [.. new[] { 1, 2, layers / 2, layers }.Distinct().Where(count => count >= 1)];
        return
        [
            .. counts.Select(count => new TimedWay($"{count} layers", $"LoReFT on the prompt, rank 4, f5+l5, {count} {(count == 1 ? "layer" : "layers")}", model => model.Attach(Spec(Layers.Range(0, count), "f5+l5", 4)))),
            .. new[] { 1, 16, 64 }.Select(rank => new TimedWay($"rank {rank}", $"LoReFT on the prompt, rank {rank}, f5+l5, all layers", model => model.Attach(Spec(Layers.All, "f5+l5", rank)))),
            .. new[] { "f1+l1", "f11+l11" }.Select(where => new TimedWay(where, $"LoReFT on the prompt, rank 4, {where}, all layers", model => model.Attach(Spec(Layers.All, where, 4)))),
            .. QuestionsStudy.Timed
                .Where(way => way.Name is "prompt all" or "decode" or "always" or "lora" or "together")
                .Select(way => new TimedWay(way.Name, $"{way.Shown}{(way.Reft is { } edits ? $", rank {edits.Rank}" : "")}{(way.LoraRank is { } rank ? $", LoRA's rank {rank}" : "")}", model => way.AttachTo(model, 1))),
        ];
    }

    private static ReftSpec Spec(Layers layers, string where, int rank) =>
        new ReftSpec().At(Sites.BlockOutput(layers), Positions.Parse(where), Interventions.Loreft(rank), tying: ParameterTying.Tied);

    private static double Quantile(List<double> values, double share)
    {
        double[] sorted = [.. values.Order()];
        double at = share * (sorted.Length - 1);
        int below = (int)at;
        return below + 1 < sorted.Length ? sorted[below] + ((at - below) * (sorted[below + 1] - sorted[below])) : sorted[^1];
    }
}
