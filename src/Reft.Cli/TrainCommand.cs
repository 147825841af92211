using System.CommandLine;
using System.Globalization;

namespace Reft.Cli;

/// <summary><c>reft train</c>: from a model and rows to an adapter.</summary>
internal static class TrainCommand
{
    private const string NothingSaved = "stopped before the first step: nothing is saved";
    private static readonly TrainingOptions Preset = new();

    private static readonly ModelChoice Model = new();
    private static readonly Option<string> Data = Values.Required(
        "--data",
        "FILE.jsonl",
        """Rows {"prompt": …, "completion": …}, or {"input_ids": […], "labels": […]} with -100 where nothing is scored; {"text": …, "label": …} in a classification.""");

    private static readonly Option<string> Output = Values.Required(
        "--output", "DIR", "Where the adapter is saved; an older one there is replaced.");

    private static readonly Option<string?> EvalData = Values.Text(
        "--eval-data", "FILE.jsonl", "Held-out rows: their loss is measured before and after, and once per epoch; accuracy or correlation too, of labels or numbers.");

    private const string Loreft = "loreft";
    private const int LoreftRank = 4;

    private static readonly Option<string?> Method = Values.Text(
        "--method", "NAME", "The method, by its name in adapters: loreft, red, direft_paper, …");

    private static readonly Option<int?> Rank = Values.Optional(
        "--rank",
        "N",
        "Directions that each intervention edits, in methods that have a rank; 4 for loreft where it is not given.",
        Values.IntegerFrom(1));

    private static readonly Option<string[]> MethodOptions = Values.Pairs(
        "--option", "KEY=VALUE", "An option of the method, e.g. activation=relu; may be given several times.");

    private static readonly Option<Layers> LayersOption = Values.Option(
        "--layers", "all|4,6,10|4;6;10", "The layers, counted from 0, whose outputs are edited.", Layers.All, Layers.Parse);

    private static readonly Option<Positions> PositionsOption = Values.Option(
        "--positions",
        "f7+l7|fN|lN|all",
        "The tokens of the prompt that are edited: the first, the last, or all.",
        Positions.Parse("f7+l7"),
        Positions.Parse);

    private static readonly Option<bool> Tie = Values.Flag("--tie", "First and last tokens share parameters.");
    private static readonly Option<bool> Untie = Values.Flag(
        "--untie", "First and last tokens have parameters of their own. The default.");

    private static readonly Option<double> LearningRate = Values.Option(
        "--lr", "X", "The largest learning rate.", Preset.LearningRate, Values.Number("a number > 0 and ≤ 1000", x => x is > 0 and <= 1000));

    private static readonly Option<int> Epochs = Values.Option(
        "--epochs", "N", "Passes over the data.", Preset.Epochs, Values.IntegerFrom(1));

    private static readonly Option<int> BatchSize = Values.Option(
        "--batch-size", "N", "Rows of a step.", Preset.BatchSize, Values.IntegerFrom(1));

    private static readonly Option<double> WarmupRatio = Values.Option(
        "--warmup-ratio",
        "X",
        "The part of all steps in which the learning rate rises.",
        Preset.WarmupRatio,
        Values.Number("a number of 0 … 1", x => x is >= 0 and <= 1));

    private static readonly Option<double> WeightDecay = Values.Option(
        "--weight-decay",
        "X",
        "Decoupled weight decay; never on orthonormal maps and biases.",
        Preset.WeightDecay,
        Values.Number("a number ≥ 0", x => x >= 0));

    private static readonly Option<int?> MaxLength = Values.Optional(
        "--max-length",
        "N",
        "Longer rows are cut to N tokens, from their end; the model's context where it is not given.",
        Values.IntegerFrom(2));

    private static readonly Option<long> Seed = Values.Option(
        "--seed", "N", "The seed of fresh parameters and of the order of rows.", Preset.Seed, Values.Seed);

    private static readonly Option<bool> Json = CommonOptions.Json("the outcome");

    public static Command Create()
    {
        Method.DefaultValueFactory = _ => Loreft;
        var command = CommonOptions.Command(
            "train",
            "Train interventions on a model and save them as an adapter.",
            [
                .. Model.Which, Data, Output, EvalData, TaskOptions.Task, TaskOptions.Labels, TaskOptions.Head,
                Method, Rank, MethodOptions, LayersOption, PositionsOption, Tie, Untie,
                LearningRate, Epochs, BatchSize, WarmupRatio, WeightDecay, MaxLength, Seed, .. TrainingFlags.All, .. MonitoringOptions.All, .. Model.How, Json,
            ]);
        command.Validators.Add(result =>
        {
            if (result.GetValue(Tie) && result.GetValue(Untie))
            {
                result.AddError("Expected --tie or --untie, found both.");
            }

            TrainingFlags.Check(result, result.GetValue(EvalData) is not null);
        });
        command.SetAction(RunAsync);
        return command;
    }

    private static async Task<int> RunAsync(ParseResult parsed)
    {
        using var output = new StandardOutput();
        using var signals = new StopSignals();
        ReftIntervention intervention;
        try
        {
            intervention = TrainingFlags.Drop(
                parsed,
                Intervention(parsed.GetValue(Method) ?? Loreft, parsed.GetValue(Rank), parsed.GetValue(MethodOptions) ?? []));
        }
        catch (ArgumentException e)
        {
            return Failure.Say($"--method: {Values.MessageOf(e)}", ExitCode.Usage);
        }

        var task = TaskOptions.Read(
            parsed, parsed.GetRequiredValue(Data), parsed.GetValue(EvalData), parsed.GetValue(Seed));
        var folder = OutputFolder.Prepare(parsed.GetRequiredValue(Output));
        string modelFolder;
        try
        {
            modelFolder = await Model.FolderAsync(parsed, signals.Token).ConfigureAwait(false);
        }
        catch (OperationCanceledException) when (signals.Token.IsCancellationRequested)
        {
            return Failure.Say("stopped while the model was being fetched; the next run goes on from there", signals.RequestedExit);
        }

        using var model = Load(modelFolder, parsed, intervention);
        task.Prepare(model);
        var options = MonitoringOptions.Apply(
            parsed, TrainingFlags.Apply(parsed, Options(parsed, model.Config.ContextLength), folder.Path));

        HeldOutScore? before;
        try
        {
            before = task.HeldOutCount is null ? null : Evaluate(model, task, options, signals.Token);
        }
        catch (OperationCanceledException) when (signals.Token.IsCancellationRequested)
        {
            return Failure.Say(NothingSaved, signals.RequestedExit);
        }

        var answered = MonitoringOptions.Sample(parsed, task, model, options);
        var described = model.Describe();
        Terminal.Say(
            $"training {described.TrainableParameters} parameters, {described.TrainablePercent:0.####} % of the model's {described.BaseParameters}, on {task.RowCount} rows");

        var result = await FitAsync(model, task, options, folder, signals.Token).ConfigureAwait(false);
        var stopped = result.Cancelled ? signals.RequestedExit : ExitCode.Success;
        if (result.Cancelled && result.History.Count == 0)
        {
            return Failure.Say(NothingSaved, stopped);
        }

        folder.Save(model);
        Terminal.Say(
            result.Cancelled
                ? (FormattableString)$"reft: stopped after step {result.History.Count}: its adapter is saved in {folder.Path}{(options.Checkpoints is null ? "" : "; --resume goes on from there")}"
                : $"saved the adapter in {folder.Path}");
        MonitoringOptions.Finish(
            parsed, result, answered, result.Cancelled ? [] : MonitoringOptions.Sample(parsed, task, model, options));
        var outcome = new TrainOutcome(folder.Path, described, result, before, After(model, task, options, result, signals.Token));
        if (parsed.GetValue(Json))
        {
            output.JsonLine(outcome.WriteJson);
        }
        else
        {
            output.Text(outcome.ToString());
        }

        return stopped;
    }

    private static ReftModel Load(string folder, ParseResult parsed, ReftIntervention intervention)
    {
        var spec = new ReftSpec()
            .At(
                Sites.BlockOutput(parsed.GetRequiredValue(LayersOption)),
                parsed.GetRequiredValue(PositionsOption),
                intervention)
            .WithTying(parsed.GetValue(Tie) ? ParameterTying.Tied : ParameterTying.Groups);
        return ReftModel.Load(folder, spec, Model.Options(parsed) with { Seed = parsed.GetValue(Seed) });
    }

    private static ReftIntervention Intervention(string method, int? rank, IEnumerable<string> options) =>
        Interventions.Named(
            method,
            [
                .. (rank ?? (method == Loreft ? LoreftRank : null)) is { } number
                    ? [KeyValuePair.Create("rank", number.ToString(CultureInfo.InvariantCulture))]
                    : Array.Empty<KeyValuePair<string, string>>(),
                .. options.Select(Values.Pair),
            ]);

    private static TrainingOptions Options(ParseResult parsed, int context)
    {
        if (parsed.GetValue(MaxLength) is { } length && length > context)
        {
            throw new ArgumentException($"--max-length: expected at most {context}, the model's context, found {length}");
        }

        return new TrainingOptions
        {
            LearningRate = parsed.GetValue(LearningRate),
            Epochs = parsed.GetValue(Epochs),
            BatchSize = parsed.GetValue(BatchSize),
            WarmupRatio = parsed.GetValue(WarmupRatio),
            WeightDecay = parsed.GetValue(WeightDecay),
            MaxLength = parsed.GetValue(MaxLength),
            Seed = parsed.GetValue(Seed),
        };
    }

    private static HeldOutScore Evaluate(ReftModel model, TrainingTask task, TrainingOptions options, CancellationToken stop)
    {
        Terminal.Say($"measuring the held-out loss before training");
        var score = task.Measure(model, options, stop);
        Terminal.Say($"held-out loss before training {score.Loss:0.0000}, on {task.HeldOutCount} rows");
        return score;
    }

    // A run that was stopped is saved at once and not measured; so is one that is stopped while it is measured.
    private static HeldOutScore? After(
        ReftModel model, TrainingTask task, TrainingOptions options, TrainingResult result, CancellationToken stop)
    {
        try
        {
            return result.Cancelled ? null : task.After(model, options, result, stop);
        }
        catch (OperationCanceledException) when (stop.IsCancellationRequested)
        {
            return null;
        }
    }

    // A run that diverges keeps what it had, as one that is stopped does.
    private static async Task<TrainingResult> FitAsync(
        ReftModel model, TrainingTask task, TrainingOptions options, OutputFolder folder, CancellationToken stop)
    {
        try
        {
            return await TrainingDisplay
                .ShowAsync(progress => task.FitAsync(model, options, progress, stop))
                .ConfigureAwait(false);
        }
        catch (DivergenceException e) when (e.Step > 1)
        {
            folder.Save(model);
            throw new DivergenceException($"{e.Message.TrimEnd('.')}. The adapter of step {e.Step - 1} is saved in {folder.Path}", e);
        }
    }
}
