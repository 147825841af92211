using System.Globalization;
using ScottPlot;

namespace Reft.Reproduction;

/// <summary>
/// What the paper's readers asked, on mails that are continued: does editing decoded tokens help longer texts? Is editing the
/// prompt alone enough? Do LoRA and LoReFT together do more than either alone with as many parameters?
/// </summary>
/// <remarks>
/// The model never saw mail before, so that there is something to learn: what follows the first tokens of a mail. Measured is
/// the loss per token on held-out mails, by how far a token is from the prompt.
/// </remarks>
internal sealed class QuestionsStudy : IStudy
{
    // The bands of tokens after the prompt, by their ends.
    private static readonly int[] Bands = [16, 64, 128];

    private static readonly Way[] Ways =
    [
        new("prompt f1+l1", "LoReFT on the prompt's first and last token", new("f1+l1", "prompt", 4), null),
        new("prompt f5+l5", "LoReFT on its first and last five", new("f5+l5", "prompt", 4), null),
        new("prompt all", "LoReFT on all of the prompt", new("all", "prompt", 4), null),
        new("decode", "LoReFT on decoded tokens alone", new("all", "decode", 4), null),
        new("first 16", "LoReFT on the first 16 decoded tokens", new("all", "first16", 4), null),
        new("always", "LoReFT on every token", new("all", "always", 4), null),
        new("lora", "LoRA", null, 2),
        new("together", "LoReFT on every token and LoRA", new("all", "always", 2), 1),
        new("prompt together", "LoReFT on all of the prompt and LoRA", new("all", "prompt", 2), 1),
    ];

    /// <summary>What is trained.</summary>
    /// <param name="Name">In keys.</param>
    /// <param name="Shown">In tables.</param>
    /// <param name="Reft">LoReFT at all layers, tied; or none.</param>
    /// <param name="LoraRank">LoRA's rank, on the query and value maps; or none.</param>
    internal sealed record Way(string Name, string Shown, Edits? Reft, int? LoraRank)
    {
        /// <summary>Attaches it to a model that has nothing attached.</summary>
        public void AttachTo(ReftModel model, long seed)
        {
            if (LoraRank is { } rank)
            {
                model.AttachTuning(Tuning.Lora(rank, modules: ["q_proj", "v_proj"]), seed);
            }

            if (Reft is { } edits)
            {
                model.Attach(edits.Spec(), seed);
            }
        }
    }

    /// <summary>LoReFT at all layers.</summary>
    internal sealed record Edits(string Where, string Phase, int Rank)
    {
        public ReftSpec Spec() => new ReftSpec().At(
            Sites.BlockOutput(Layers.All),
            Positions.Parse(Where),
            Interventions.Loreft(Rank, start: InterventionStart.Identity),
            Phase switch
            {
                "prompt" => InterventionPhase.Prompt,
                "decode" => InterventionPhase.Decode,
                "first16" => InterventionPhase.DecodeSteps(0, 16),
                _ => InterventionPhase.Always,
            },
            ParameterTying.Tied);
    }

    /// <summary>The ways whose decoding is timed.</summary>
    internal static IReadOnlyList<Way> Timed => Ways;

    public string Name => "questions";

    public string Version => "1";

    public IEnumerable<PlannedRun> Plan(StudyContext context)
    {
        var tuning = Budget(context);
        return [.. Models(context).SelectMany(model => Of(context).SelectMany(way =>
            tuning.Plan(context, KeyOf(context, model, way), model == StudyContext.Base ? 1 : 4)))];
    }

    public async Task<RunResult> RunAsync(RunKey key, StudyContext context, CancellationToken stop)
    {
        using var model = ReftModel.Load(context.Folders[key.Model]);
        int prompt = key.Count("prompt"), completion = key.Count("completion");
        RealTask task = MailRows.Task(context, int.MaxValue, int.MaxValue);
        var train = Rows(task.Train, key.Count("train"));
        var development = Rows(task.Development, key.Count("test"));
        var test = Rows(task.Test, key.Count("test"));

        // Before anything is attached: the model itself.
        double[] before = Losses(test);
        Ways.Single(way => way.Name == key.Method).AttachTo(model, key.Seed);
        var result = await model.FitAsync(
            TrainingData.FromExamples(train),
            new TrainingOptions { LearningRate = key.Number("lr"), Epochs = key.Count("epochs"), BatchSize = 8, Seed = key.Seed },
            cancellationToken: stop).ConfigureAwait(false);
        stop.ThrowIfCancellationRequested();

        double[] after = Losses(test);
        Dictionary<string, double> numbers = new()
        {
            ["development_loss"] = Losses(development).Average(),
            ["test_loss"] = after.Average(),
            ["base_loss"] = before.Average(),
            ["parameters"] = result.TrainableParameters,
            ["train_seconds"] = result.Duration.TotalSeconds,
            ["train_rows"] = train.Count,
            ["test_rows"] = test.Count,
        };
        int start = 0;
        foreach (int end in Bands.Where(end => end <= completion))
        {
            numbers[$"test_loss_{end}"] = after[start..end].Average();
            numbers[$"base_loss_{end}"] = before[start..end].Average();
            start = end;
        }

        return new RunResult { Numbers = numbers };

        IReadOnlyList<TrainingExample> Rows(IReadOnlyList<LabelledRow> rows, int most) =>
            MailRows.Continuations(rows, model.Tokenizer!, prompt, completion, most);

        // The mean loss at each distance from the prompt.
        double[] Losses(IReadOnlyList<TrainingExample> rows)
        {
            var sums = new double[completion];
            foreach (var score in model.Score(rows.Select(row => new DataRow { InputIds = row.TokenIds, PromptLength = row.PromptLength })))
            {
                for (int i = 0; i < completion; i++)
                {
                    sums[i] -= score.LogProbs[prompt - 1 + i];
                }
            }

            return [.. sums.Select(sum => sum / rows.Count)];
        }
    }

    public void Report(ReportPage page, StudyContext context)
    {
        foreach (var model in Models(context))
        {
            var rows = Ways.Select(way => (Way: way, Runs: Budget(context).Chosen(context, KeyOf(context, model, way)))).ToList();
            var suffix = model == StudyContext.Base ? "" : $"-{model}";
            page.Table(
                "questions" + suffix,
                ["what is trained", "parameters", "rate", "seeds", .. Shown(), "all"],
                [
                    [
                        "nothing", "0", "", "",
                        .. Bands.Select(end => Loss(AnyRun(), $"base_loss_{end}")),
                        Loss(AnyRun(), "base_loss"),
                    ],
                    .. rows.Select(row => (IReadOnlyList<string>)
                    [
                        row.Way.Shown,
                        row.Runs is [var first, ..] ? first["parameters"].ToString("#,0", CultureInfo.InvariantCulture) : ReportPage.NotRun,
                        row.Runs is [var chosen, ..] ? Budget(context).Shown(chosen.Key["lr"]) : ReportPage.NotRun,
                        $"{row.Runs.Count}",
                        .. Bands.Select(end => Loss(row.Runs, $"test_loss_{end}")),
                        Loss(row.Runs, "test_loss"),
                    ]),
                ]);

            Plot plot = new();
            foreach (var (way, runs) in rows.Where(row => row.Runs.Count > 0))
            {
                var line = plot.Add.Scatter(
                    Enumerable.Range(0, Bands.Length).Select(band => (double)band).ToArray(),
                    Bands.Select(end => Spread.Of(runs.Select(run => run[$"base_loss_{end}"] - run[$"test_loss_{end}"])).Mean).ToArray());
                line.LegendText = way.Shown;
            }

            plot.Axes.Bottom.TickGenerator = new ScottPlot.TickGenerators.NumericManual(
                Enumerable.Range(0, Bands.Length).Select(band => (double)band).ToArray(), [.. Shown()]);
            plot.XLabel("how far from the prompt");
            plot.YLabel("nats per token below the model itself");
            plot.Title($"Mails continued, {model}: what is learnt, by distance from the prompt");
            plot.ShowLegend(Edge.Bottom);
            page.Picture("questions" + suffix, plot, 900, 750);

            IReadOnlyList<FinishedRun> AnyRun() => rows.Select(row => row.Runs).FirstOrDefault(runs => runs.Count > 0) ?? [];
        }

        static IEnumerable<string> Shown() => Bands.Select((end, i) => $"tokens {(i == 0 ? 1 : Bands[i - 1] + 1)}–{end}");

        static string Loss(IReadOnlyList<FinishedRun> runs, string name) => Spread.Of(runs.Select(run => run[name])).Show("0.000");
    }

    private static IEnumerable<string> Models(StudyContext context) => context.Scope == Scope.Full ? context.Models : [StudyContext.Base];

    private static IEnumerable<Way> Of(StudyContext context) => context.Scope == Scope.Smoke ? [Ways[0], Ways[^1]] : Ways;

    private static TunedConfigurations Budget(StudyContext context) => context.Scope switch
    {
        Scope.Smoke => new(["0.005"], 1, "development_loss", false),
        Scope.Subset => new(["0.003", "0.01", "0.03"], 3, "development_loss", false),
        _ => new(["0.001", "0.003", "0.01", "0.03"], 5, "development_loss", false),
    };

    private static Func<string, long, RunKey> KeyOf(StudyContext context, string model, Way way)
    {
        var (train, test, prompt, completion, epochs) = context.Scope switch
        {
            Scope.Smoke => (8, 8, 4, 8, 1),
            Scope.Subset => (240, 100, 32, 128, 2),
            _ => (1200, 400, 32, 128, 5),
        };
        return (rate, seed) => RunKey.Of(
            "questions", model, "mail", way.Name, seed,
            ("lr", rate), ("train", $"{train}"), ("test", $"{test}"), ("prompt", $"{prompt}"), ("completion", $"{completion}"), ("epochs", $"{epochs}"));
    }
}
