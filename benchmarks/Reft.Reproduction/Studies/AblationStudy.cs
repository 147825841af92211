using System.Globalization;
using ScottPlot;

namespace Reft.Reproduction;

/// <summary>
/// What of an intervention matters, on the mails: its rank, its layers, its positions, what they share, and the terms of its
/// formula (the paper's table 17). All that is learnt is in the interventions: the model answers <c>good</c> or <c>bad</c> with its own head.
/// </summary>
internal sealed class AblationStudy : IStudy
{
    // Chosen with nothing but the usual in mind; each ablation changes one of them.
    private static readonly Setting Default = new("loreft", 4, "all", "f3+l3", "groups", false);

    private static readonly (string Method, string Formula)[] Formulas =
    [
        ("lobireft", "h + Rᵀb"),
        ("consreft", "h + Rᵀ(b − Rh)"),
        ("direft_orthonormal", "h + Rᵀ(Wh + b)"),
        ("noreft", "h + W₂ᵀ(W₁h + b − W₂h)"),
        ("direft_paper", "h + W₂ᵀ(W₁h + b) (DiReFT)"),
        ("loreft", "h + Rᵀ(Wh + b − Rh) (LoReFT)"),
    ];

    /// <summary>What one configuration is.</summary>
    /// <param name="Layers">Numbers with commas, or all.</param>
    /// <param name="Tying">groups, tied or each.</param>
    /// <param name="AcrossLayers">Whether one set of parameters acts at all layers.</param>
    private sealed record Setting(string Method, int Rank, string Layers, string Positions, string Tying, bool AcrossLayers);

    public string Name => "ablations";

    public string Version => "1";

    public IEnumerable<PlannedRun> Plan(StudyContext context)
    {
        var tuning = Tuning(context);
        return [.. Models(context).SelectMany(model => Settings(context, model).Distinct().SelectMany(setting =>
            tuning.Plan(context, KeyOf(context, model, setting), model == StudyContext.Base ? 1 : 4)))];
    }

    public async Task<RunResult> RunAsync(RunKey key, StudyContext context, CancellationToken stop)
    {
        using var model = ReftModel.Load(context.Folders[key.Model]);
        var tokenizer = model.Tokenizer!;
        int tokens = key.Count("tokens");
        RealTask task = MailRows.Task(context, key.Count("train"), key.Count("test"));
        int[] answers = [MailRows.Answer(tokenizer, false), MailRows.Answer(tokenizer, true)];
        var train = MailRows.Questions(task.Train, tokenizer, tokens)
            .Select(row => TrainingExample.FromCompletion(row.Prompt, [answers[row.Spam ? 1 : 0]]));

        // The methods start as pyreft starts them, so that no form has an advantage of its start.
        model.Attach(SpecOf(key), key.Seed);
        var result = await model.FitAsync(
            TrainingData.FromExamples(train),
            new TrainingOptions { LearningRate = key.Number("lr"), Epochs = key.Count("epochs"), BatchSize = 8, Seed = key.Seed },
            cancellationToken: stop).ConfigureAwait(false);
        stop.ThrowIfCancellationRequested();

        var (development, _) = Correct(task.Development);
        var (test, rows) = Correct(task.Test);
        return new RunResult
        {
            Numbers = new Dictionary<string, double>
            {
                ["development_accuracy"] = development,
                ["test_accuracy"] = test,
                ["test_balanced"] = Balanced(task.Test, rows),
                ["train_loss"] = result.FinalLoss ?? double.NaN,
                ["parameters"] = result.TrainableParameters,
                ["train_seconds"] = result.Duration.TotalSeconds,
                ["test_rows"] = task.Test.Count,
                ["test_majority"] = task.Labels.Max(label => task.Test.Count(row => row.Label == label)) / (double)task.Test.Count,
            },
            Rows = PackedRows.Pack(rows),
        };

        (double Accuracy, IReadOnlyList<bool> Rows) Correct(IReadOnlyList<LabelledRow> rows)
        {
            var questions = MailRows.Questions(rows, tokenizer, tokens);
            double[][] likelihoods = [.. answers.Select(answer => model
                .Score(questions.Select(row => new DataRow { InputIds = [.. row.Prompt, answer], PromptLength = row.Prompt.Count }), batchSize: 16)
                .Select(score => (double)score.LogProbs[^1])
                .ToArray())];
            bool[] right = [.. questions.Select((row, i) => (likelihoods[1][i] > likelihoods[0][i]) == row.Spam)];
            return (right.Count(value => value) / (double)right.Length, right);
        }
    }

    public void Report(ReportPage page, StudyContext context)
    {
        foreach (var model in Models(context))
        {
            var suffix = model == StudyContext.Base ? "" : $"-{model}";
            var layers = ModelShape.Layers(context.Folders[model]);
            var ranks = Ranks(context).Select(rank => ($"{rank}", Default with { Rank = rank })).ToList();
            var byLayer = LayerSets(layers).Select(set => (set.Replace(",", ", ", StringComparison.Ordinal), Default with { Layers = set })).ToList();
            var positions = PositionSets(context).Select(set => (set, PositionSetting(set))).ToList();
            Write("ablation-rank" + suffix, "rank", ranks);
            Write("ablation-layers" + suffix, "layers", byLayer);
            Write("ablation-positions" + suffix, "positions", positions);
            Write("ablation-sharing" + suffix, "one set of parameters for", Sharing());
            Write("ablation-formula" + suffix, "formula", Formulas.Select(entry => (entry.Formula, Default with { Method = entry.Method })));
            Draw($"ablations-{model}", model, ranks, byLayer, positions);

            void Write(string name, string what, IEnumerable<(string Shown, Setting Setting)> rows) =>
                page.Table(
                    name,
                    [what, "accuracy, %", "balanced accuracy, %", "development, %", "parameters", "rate", "seeds"],
                    rows.Select(row => Row(row.Shown, Tuning(context).Chosen(context, KeyOf(context, model, row.Setting)))));
        }

        void Draw(string name, string model, params IReadOnlyList<(string Shown, Setting Setting)>[] families)
        {
            Plot plot = new();
            string[] titles = ["rank", "layers", "positions"];
            double x = 0;
            List<Tick> ticks = [];
            foreach (var (family, title) in families.Zip(titles))
            {
                List<double> xs = [], ys = [], errors = [];
                foreach (var (shown, setting) in family)
                {
                    var spread = Spread.Of(Tuning(context).Chosen(context, KeyOf(context, model, setting)).Select(run => 100 * run["test_balanced"]));
                    ticks.Add(new Tick(x, shown));
                    if (spread.Count > 0)
                    {
                        xs.Add(x);
                        ys.Add(spread.Mean);
                        errors.Add(spread.Deviation ?? 0);
                    }

                    x++;
                }

                if (xs.Count > 0)
                {
                    var line = plot.Add.Scatter(xs.ToArray(), ys.ToArray());
                    line.LegendText = title;
                    plot.Add.ErrorBar(xs.ToArray(), ys.ToArray(), errors.ToArray()).Color = line.Color;
                }

                x++;
            }

            plot.Axes.Bottom.TickGenerator = new ScottPlot.TickGenerators.NumericManual(ticks.ToArray());
            plot.Axes.Bottom.TickLabelStyle.Rotation = -45;
            plot.Axes.Bottom.TickLabelStyle.Alignment = Alignment.MiddleRight;
            plot.Axes.Bottom.MinimumSize = 70;
            plot.YLabel("balanced accuracy on the test mails, %");
            plot.Title($"LoReFT on mails, {model}: one setting changed at a time");
            plot.ShowLegend(Alignment.LowerRight);
            page.Picture(name, plot);
        }

        IReadOnlyList<string> Row(string shown, IReadOnlyList<FinishedRun> runs) =>
        [
            shown,
            Spread.Of(runs.Select(run => run["test_accuracy"])).Show("0.0", 100),
            Spread.Of(runs.Select(run => run["test_balanced"])).Show("0.0", 100),
            Spread.Of(runs.Select(run => run["development_accuracy"])).Show("0.0", 100),
            runs is [var first, ..] ? first["parameters"].ToString("#,0", CultureInfo.InvariantCulture) : ReportPage.NotRun,
            runs is [var chosen, ..] ? Tuning(context).Shown(chosen.Key["lr"]) : ReportPage.NotRun,
            $"{runs.Count}",
        ];
    }

    private static IEnumerable<string> Models(StudyContext context) => context.Scope == Scope.Full ? context.Models : [StudyContext.Base];

    private static TunedConfigurations Tuning(StudyContext context) => context.Scope switch
    {
        Scope.Smoke => new(["0.005"], 1, "development_accuracy", true),
        Scope.Subset => new(["0.001", "0.003", "0.01"], 3, "development_accuracy", true),
        _ => new(["0.001", "0.003", "0.01", "0.03"], 5, "development_accuracy", true),
    };

    private static IEnumerable<Setting> Settings(StudyContext context, string model) => context.Scope == Scope.Smoke
        ? [Default with { Layers = "1", Positions = "l1" }]
        :
        [
            Default,
            .. Formulas.Select(entry => Default with { Method = entry.Method }),
            .. PositionSets(context).Select(PositionSetting),
            .. Ranks(context).Select(rank => Default with { Rank = rank }),
            .. LayerSets(ModelShape.Layers(context.Folders[model])).Select(set => Default with { Layers = set }),
            .. Sharing().Select(entry => entry.Setting),
        ];

    private static int[] Ranks(StudyContext context) => context.Scope == Scope.Full ? [1, 2, 4, 8, 16, 32, 64] : [1, 2, 4, 8, 16];

    private static IEnumerable<string> LayerSets(int layers) =>
    [
        .. Enumerable.Range(0, layers).Select(layer => $"{layer}"),
        string.Join(',', Enumerable.Range(0, layers / 2)),
        string.Join(',', Enumerable.Range(layers / 2, layers - (layers / 2))),
        "all",
    ];

    private static string[] PositionSets(StudyContext context) => context.Scope == Scope.Full
        ? ["f1", "l1", "f1+l1", "f3+l3", "f5+l5", "f7+l7", "f11+l11", "f20+l20", "all"]
        : ["f1", "l1", "f1+l1", "f3+l3", "f5+l5", "all"];

    private static Setting PositionSetting(string set) => Default with { Positions = set };

    private static IReadOnlyList<(string Shown, Setting Setting)> Sharing() =>
    [
        ("each layer and each position", Default with { Tying = "each" }),
        ("each layer, its prefix and its suffix", Default),
        ("each layer", Default with { Tying = "tied" }),
        ("the prefix and the suffix of all layers", Default with { AcrossLayers = true }),
        ("everything", Default with { Tying = "tied", AcrossLayers = true }),
        ("everything, at four times the rank", Default with { Tying = "tied", AcrossLayers = true, Rank = 16 }),
    ];

    private static Func<string, long, RunKey> KeyOf(StudyContext context, string model, Setting setting)
    {
        var (train, test, tokens, epochs) = context.Scope switch
        {
            Scope.Smoke => (16, 16, 16, 1),
            Scope.Subset => (400, 300, 48, 3),
            _ => (2000, 1000, 96, 6),
        };
        return (rate, seed) => RunKey.Of(
            "ablations", model, "spam", setting.Method, seed,
            ("rank", $"{setting.Rank}"), ("layers", setting.Layers), ("positions", setting.Positions), ("tying", setting.Tying),
            ("across", setting.AcrossLayers ? "yes" : "no"), ("lr", rate),
            ("train", $"{train}"), ("test", $"{test}"), ("tokens", $"{tokens}"), ("epochs", $"{epochs}"));
    }

    private static ReftSpec SpecOf(RunKey key) =>
        new ReftSpec().At(
            Sites.BlockOutput(Layers.Parse(key["layers"])),
            Positions.Parse(key["positions"]),
            Interventions.Named(key.Method, [new("rank", key["rank"])]),
            tying: key["tying"] switch
            {
                "tied" => ParameterTying.Tied,
                "each" => ParameterTying.EachPosition,
                _ => ParameterTying.Groups,
            },
            sharedAs: key["across"] == "yes" ? "all" : null);

    // The mean of the accuracies on ham and on spam: what the larger class alone would give is 50 %.
    private static double Balanced(IReadOnlyList<LabelledRow> rows, IReadOnlyList<bool> right) =>
        rows.Zip(right).GroupBy(pair => pair.First.Label).Average(group => group.Count(pair => pair.Second) / (double)group.Count());
}
