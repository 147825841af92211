using System.CommandLine;

namespace Reft.Cli;

/// <summary><c>reft train</c>: from a model and rows to an adapter.</summary>
internal static class TrainCommand
{
    private const string NothingSaved = "stopped before the first step: nothing is saved";
    private static readonly TrainingOptions Preset = new();

    private static readonly ModelChoice Model = new();
    private static readonly Option<string> Data = Values.Required(
        "--data",
        "FILE",
        """Rows, as JSON Lines, JSON, CSV, TSV or Parquet: {"prompt": …, "completion": …}, or {"input_ids": […], "labels": […]} with -100 where nothing is scored; {"text": …, "label": …} in a classification.""");

    private static readonly Option<string> Output = Values.Required(
        "--output", "DIR", "Where the adapter is saved; an older one there is replaced.");

    private static readonly Option<string?> EvalData = Values.Text(
        "--eval-data", "FILE", "Held-out rows: their loss is measured before and after, and once per epoch; accuracy or correlation too, of labels or numbers.");

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

    // In the order in which help shows them.
    private static IEnumerable<Option> All =>
    [
        .. Model.Which, Data, Output, EvalData, .. RowOptions.All, TaskOptions.Task, TaskOptions.Labels, TaskOptions.Head,
        .. ObjectiveOptions.All,
        .. MethodOptions.Which, .. MethodOptions.Where,
        LearningRate, Epochs, BatchSize, WarmupRatio, WeightDecay, MaxLength, Seed, .. TrainingFlags.All, .. SpeedOptions.All,
        .. MonitoringOptions.All, .. Model.How,
        .. MethodOptions.Saved, Json,
    ];

    /// <summary>
    /// The options that runs have in common which are compared: all but the method and what is its own, the seed, where it is
    /// saved and whether it is gone on with.
    /// </summary>
    public static IReadOnlyList<Option> Shared =>
        [
            .. All.Except(
            [
                .. MethodOptions.Which, .. MethodOptions.Saved, .. TrainingFlags.Own, .. MonitoringOptions.All, Output, Seed, Json,
            ]),
        ];

    public static Command Create()
    {
        MethodOptions.Method.DefaultValueFactory = _ => MethodOptions.Preset;
        var command = CommonOptions.Command(
            "train", "Train interventions on a model, or the model itself, and save an adapter.", All);
        command.Validators.Add(result =>
        {
            if (result.GetValue(MethodOptions.Tie) && result.GetValue(MethodOptions.Untie))
            {
                result.AddError("Expected --tie or --untie, found both.");
            }

            SpeedOptions.Check(result);
            TrainingFlags.Check(result, result.GetValue(EvalData) is not null);
        });
        command.SetAction(RunAsync);
        return command;
    }

    private static async Task<int> RunAsync(ParseResult parsed)
    {
        using var output = new StandardOutput();
        using var signals = new StopSignals();
        MethodChoice choice;
        try
        {
            choice = MethodOptions.Read(parsed);
            MethodOptions.CheckSaved(parsed, choice);
        }
        catch (ArgumentException e)
        {
            return Failure.Say($"--method: {Values.MessageOf(e)}", ExitCode.Usage);
        }

        MethodOptions.SayWhatIsLeftOut(parsed, choice);
        using var task = ObjectiveOptions.Read(
            parsed, parsed.GetRequiredValue(Data), parsed.GetValue(EvalData), parsed.GetValue(Seed), Model);
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

        if (parsed.GetValue(MethodOptions.ModelOutput) is { } exported && Path.GetFullPath(exported) == Path.GetFullPath(modelFolder))
        {
            return Failure.Say($"--model-output: {exported} is the base model's own folder: choose another one", ExitCode.Usage);
        }

        using var model = Load(modelFolder, parsed, choice, task is LabelTask or RewardTask);
        task.Prepare(model);
        var options = MonitoringOptions.Apply(
            parsed,
            SpeedOptions.Apply(
                parsed, TrainingFlags.Apply(parsed, Options(parsed, choice, model.Config.ContextLength), folder.Path)),
            [("--data", parsed.GetValue(Data)), ("--eval-data", parsed.GetValue(EvalData))]);

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
            $"training {described.TrainableParameters} parameters, {described.TrainablePercent:0.####} % of the model's {described.BaseParameters}, on {Math.Min(task.RowCount, options.MaxExamples ?? int.MaxValue)} rows");

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

        Export(model, parsed);
        return stopped;
    }

    private static ReftModel Load(string folder, ParseResult parsed, MethodChoice choice, bool labelled)
    {
        var seed = parsed.GetValue(Seed);
        var model = ReftModel.Load(
            folder, MethodOptions.Spec(parsed, choice), Model.Options(parsed) with { Seed = seed });
        try
        {
            // The last layer of a classification, or of a reward, is its head, which is trained in any case.
            return choice.Tuning is { } tuning && !(labelled && choice.IsProbe) ? model.AttachTuning(tuning, seed) : model;
        }
        catch
        {
            model.Dispose();
            throw;
        }
    }

    private static void Export(ReftModel model, ParseResult parsed)
    {
        if (parsed.GetValue(MethodOptions.PeftOutput) is { } peft)
        {
            model.SavePeftAdapter(peft);
            Terminal.Say($"saved in peft's format in {peft}");
        }

        if (parsed.GetValue(MethodOptions.ModelOutput) is { } whole)
        {
            model.SaveModel(whole);
            Terminal.Say($"saved the tuned model in {whole}");
        }
    }

    private static TrainingOptions Options(ParseResult parsed, MethodChoice choice, int context)
    {
        if (parsed.GetValue(MaxLength) is { } length && length > context)
        {
            throw new ArgumentException($"--max-length: expected at most {context}, the model's context, found {length}");
        }

        return new TrainingOptions
        {
            LearningRate = choice.LearningRate ?? parsed.GetValue(LearningRate),
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
            var saved = options.BestModel is null ? $"The adapter of step {e.Step - 1}" : "The best adapter so far";
            throw new DivergenceException($"{e.Message.TrimEnd('.')}. {saved} is saved in {folder.Path}", e);
        }
    }
}
