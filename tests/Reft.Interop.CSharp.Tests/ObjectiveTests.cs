using Expecto;
using Expecto.CSharp;
using TorchSharp;

namespace Reft.Tests;

/// <summary>Preferences, rewards, teachers and own objectives from C#.</summary>
public static class ObjectiveTests
{
    private static readonly int[] Good = [20, 21, 22];
    private static readonly int[] Bad = [50, 51];

    private static readonly TrainingOptions Quick = new() { LearningRate = 2e-2, Epochs = 8, BatchSize = 4, WarmupRatio = 0 };

    private static readonly ReftSpec Spec = new ReftSpec()
        .At(Sites.BlockOutput(1, 2), Positions.Last(2), Interventions.Loreft(rank: 4, start: InterventionStart.Identity));

    private static readonly PreferenceData Pairs = PreferenceData.FromRows(
        Enumerable.Range(0, 12).Select(i => new PreferenceRow
        {
            PromptIds = [1, 30 + i, 60 + (3 * i), .. Enumerable.Repeat(90 + i, i % 3)],
            ChosenIds = Good,
            RejectedIds = Bad,
        }));

    /// <summary>Objectives.</summary>
    [Tests]
    public static readonly Test Objectives = Runner.TestList(
        "Objectives",
        [
            Runner.TestCase("every method learns a preference", LearnsPreferences),
            Runner.TestCase("DPO begins at log 2, and its accuracy is what the model's own scores say", AgreesWithScores),
            Runner.TestCase("texts: the prompt is shared, the end follows both completions", Texts),
            Runner.TestCase("a reward learns to rank, is saved, and scores texts", LearnsRewards),
            Runner.TestCase("a student comes near a teacher with another adapter", FollowsAdapter),
            Runner.TestCase("a student learns what an instruction does, without it", FollowsPrompt),
            Runner.TestCase("an own objective trains as the built-in one does", OwnObjective),
            Runner.TestCase("an own objective on pairs", OwnPreference),
            Runner.TestCase("rows are read from JSON lines, and bad ones name row and field", ReadsRows),
            Runner.TestCase("what is refused", Refusals),
            Runner.TestCase("training and evaluating leave no tensors behind", NothingLeaks),
        ]);

    private static T Wait<T>(Task<T> task) => task.GetAwaiter().GetResult();

    private static void LearnsPreferences()
    {
        foreach (var preference in new[]
        {
            new PreferenceOptions(),
            new PreferenceOptions { LabelSmoothing = 0.1, Beta = 0.5 },
            new PreferenceOptions { Method = PreferenceMethod.Ipo, Beta = 0.5 },
            new PreferenceOptions { Method = PreferenceMethod.SimPo, Margin = 0.5 },
            new PreferenceOptions { Method = PreferenceMethod.Reps, SteeringFactors = [0.5, 1] },
            new PreferenceOptions { Method = PreferenceMethod.Reps, Suppression = SteeringSuppression.NulledOut },
        })
        {
            using var model = ReftModel.Load(TinyLlama.Folder, Spec);
            var before = model.EvaluatePreference(Pairs, preference, batchSize: 5);
            var progress = new List<TrainingProgress>();
            var result = Wait(model.FitPreferenceAsync(Pairs, preference, Quick, Pairs, new Told(progress.Add)));
            var after = model.EvaluatePreference(Pairs, preference, batchSize: 5);
            Check.That(after.Loss < before.Loss, $"{preference.Method}: expected the loss to fall, found {before} → {after}");
            Check.Equal((12, 0, 1.0), (after.Pairs, after.SkippedPairs, after.Accuracy), $"{preference.Method}: pairs told apart");
            Check.That(after.Margin > before.Margin, "expected the margin to grow");
            Check.Equal(preference.Method == PreferenceMethod.Reps, after.Suppression is not null, "suppression is of steering");
            Check.Equal((24, 12, 0), (result.History.Count, result.TrainedRows, result.SkippedRows), "the result");
            Check.That(Math.Abs(result.EvaluationLoss!.Value - after.Loss) < 1e-4, "the loss on the evaluation data");
            Check.Equal(24, progress.Count, "progress");
        }
    }

    private static void AgreesWithScores()
    {
        using var model = ReftModel.Load(TinyLlama.Folder, Spec);
        var start = model.EvaluatePreference(Pairs);
        Check.That(Math.Abs(start.Loss - Math.Log(2)) < 1e-6, $"expected log 2, found {start.Loss}");
        Check.Equal(0.0, start.Margin, "margin");
        Wait(model.FitPreferenceAsync(Pairs, null, Quick with { Epochs = 2 }));
        var tuned = Margins(model);
        var margin = model.EvaluatePreference(Pairs).Margin;
        var plain = Margins(model.Detach());
        var expected = 0.1 * tuned.Zip(plain, (a, b) => a - b).Average();
        Check.That(Math.Abs(expected - margin) < 1e-5, $"expected a margin of {expected}, found {margin}");

        static double[] Margins(ReftModel model) =>
            [.. Pairs.Rows.Select(row => Sum(model, row, row.ChosenIds!) - Sum(model, row, row.RejectedIds!))];

        static double Sum(ReftModel model, PreferenceRow row, IReadOnlyList<int> completion) =>
            model.Score([new DataRow { InputIds = [.. row.PromptIds!, .. completion], PromptLength = row.PromptIds!.Count }])
                .Single().LogProbs.TakeLast(completion.Count).Sum(value => (double)value);
    }

    private static void Texts()
    {
        using var folder = TinyLlama.WithTokenizer();
        using var model = ReftModel.Load(folder.Path, Spec);
        var texts = PreferenceData.FromTexts([("Say it", " yes", " no no"), ("Tell", " yes", "?")]);
        int[] Ids(string text) => [.. text.Select(c => c == ' ' ? 3 : TinyLlama.IdOf(c))];
        var ids = PreferenceData.FromRows(texts.Rows.Select(row => new PreferenceRow
        {
            PromptIds = [1, .. Ids(row.Prompt!)],
            ChosenIds = [.. Ids(row.Chosen!), 2],
            RejectedIds = [.. Ids(row.Rejected!), 2],
        }));
        var simPo = new PreferenceOptions { Method = PreferenceMethod.SimPo };
        Check.Equal(model.EvaluatePreference(ids, simPo), model.EvaluatePreference(texts, simPo), "ids and texts");

        // Of "Say it" 7 tokens with <s>: nothing of its completions is left. "Tell" has 5, and one token each.
        var cut = model.EvaluatePreference(texts, simPo, maxLength: 6);
        Check.Equal((1, 1), (cut.Pairs, cut.SkippedPairs), "pairs that are left");
        var same = PreferenceData.FromTexts([("Say", "a", "a"), ("Say", "a", "b")]);
        Check.Equal((1, 1), (model.EvaluatePreference(same).Pairs, model.EvaluatePreference(same).SkippedPairs), "equal completions");
        Check.Equal(1, Wait(model.FitPreferenceAsync(same, null, Quick with { Epochs = 1 })).SkippedRows, "skipped in training");
    }

    private static void LearnsRewards()
    {
        using var folder = TinyLlama.WithTokenizer();
        using var output = TinyLlama.NewFolder();
        var data = PreferenceData.FromTexts(Enumerable.Range(0, 12).Select(i => ($"Ask {i}", " thanks", " go away")));
        var spec = new ReftSpec().At(Sites.BlockOutput(1, 2), Positions.Last(2), Interventions.Loreft(rank: 4));
        using var model = ReftModel.Load(folder.Path, spec);
        var result = Wait(model.FitRewardAsync(data, new RewardOptions { Centering = 0.01 }, Quick, data));
        Check.Equal(64L, result.HeadParameters, "one output");
        var found = model.EvaluateReward(data, batchSize: 5);
        Check.Equal((12, 1.0), (found.Pairs, found.Accuracy), "pairs told apart");
        Check.That(found.Margin > 1 && found.Loss < 0.4, $"expected the ranking to be learnt, found {found}");
        Check.That(Math.Abs(result.History[^1].EvaluationLoss!.Value - found.Loss) < 0.1, "the loss on the evaluation data");
        var rewards = data.Rows.Select(row => (Chosen: model.Reward(row.Prompt!, row.Chosen!), Rejected: model.Reward(row.Prompt!, row.Rejected!))).ToArray();
        Check.That(
            Math.Abs(rewards.Average(pair => pair.Chosen - pair.Rejected) - found.Margin) < 1e-4, "rewards are those that were evaluated");
        Check.That(model.Reward("Ask 77", " thanks") > model.Reward("Ask 77", " go away"), "a new prompt");
        model.SaveAdapter(output.Path);
        using var fresh = ReftModel.Load(folder.Path).LoadAdapter(output.Path);
        Check.Equal(model.Reward("Ask 1", " thanks"), fresh.Reward("Ask 1", " thanks"), "after loading");
        Check.Same(
            rewards.Take(3).Select(pair => pair.Chosen),
            fresh.Rewards(data.Rows.Take(3).Select(row => new DataRow { Prompt = row.Prompt, Completion = row.Chosen }), 1),
            "rows");
    }

    private static void FollowsAdapter()
    {
        using var teacher = ReftModel.Load(TinyLlama.Folder, TinyLlama.Spec);
        Wait(teacher.FitAsync(TinyLlama.Data, Quick));
        using var student = ReftModel.Load(TinyLlama.Folder, TinyLlama.Spec, new ModelOptions { Seed = 9 });
        foreach (var how in new[] { new DistillationOptions(), new DistillationOptions { Temperature = 2, Weight = 0.5 } })
        {
            student.Attach(TinyLlama.Spec, 9);
            var before = student.EvaluateDistillation(TinyLlama.Data, teacher, how, batchSize: 5);
            var result = Wait(student.FitDistillationAsync(
                TinyLlama.Data, teacher, how, Quick with { EvaluationData = TinyLlama.Data }));
            var after = student.EvaluateDistillation(TinyLlama.Data, teacher, how, batchSize: 5);
            Check.That(after.Divergence < before.Divergence / 4, $"expected to come near the teacher, found {before} → {after}");
            Check.That(Math.Abs(result.EvaluationLoss!.Value - after.Loss) < 1e-4, "the loss on the evaluation data");
            var expected = (how.Weight * how.Temperature * how.Temperature * after.Divergence) + ((1 - how.Weight) * after.LanguageLoss);
            Check.That(Math.Abs(expected - after.Loss) < 1e-5, $"expected {expected}, found {after}");
        }

        Check.That(teacher.EvaluateDistillation(TinyLlama.Data, teacher).Divergence > 0, "itself is the model without its adapter");
        using var folder = TinyLlama.NewFolder();
        teacher.SaveAdapter(folder.Path);
        using var same = ReftModel.Load(TinyLlama.Folder).LoadAdapter(folder.Path);
        Check.That(Math.Abs(same.EvaluateDistillation(TinyLlama.Data, teacher).Divergence) < 1e-6, "the same model");
    }

    private static void FollowsPrompt()
    {
        using var folder = TinyLlama.WithTokenizer();
        var everywhere = new ReftSpec().At(
            Sites.BlockOutput(Layers.All), Positions.All, Interventions.Loreft(rank: 8, start: InterventionStart.Identity));
        using var model = ReftModel.Load(folder.Path, everywhere);
        var data = TrainingData.FromPairs(Enumerable.Range(0, 8).Select(i => ($"Ask {i}", " one two")));
        var how = new DistillationOptions { TeacherPrompt = prompt => "Be kind. " + prompt };
        var before = model.EvaluateDistillation(data, model, how);
        Check.Equal(0.0, Math.Round(model.EvaluateDistillation(data, model).Divergence, 6), "without the instruction nothing is to be learnt");
        Wait(model.FitDistillationAsync(data, model, how, Quick with { Epochs = 20 }));
        var after = model.EvaluateDistillation(data, model, how);
        Check.That(before.Divergence > 1e-3 && after.Divergence < before.Divergence / 2, $"expected to come near, found {before} → {after}");
        Check.Throws<InvalidDataException>(() => model.EvaluateDistillation(TinyLlama.Data, model, how), "row 0", "'prompt'", "token ids");
        Check.Throws<InvalidDataException>(
            () => model.EvaluateDistillation(data, model, new DistillationOptions { TeacherPrompt = _ => new string('a', 200) }),
            "row 0",
            "context of 128");
    }

    private static void OwnObjective()
    {
        var objective = TrainingObjective.Custom(
            "cross-entropy", batch => torch.nn.functional.cross_entropy(batch.Logits, batch.Targets));
        using var model = ReftModel.Load(TinyLlama.Folder, TinyLlama.Spec);
        using var usual = ReftModel.Load(TinyLlama.Folder, TinyLlama.Spec);
        var options = Quick with { EvaluationData = TinyLlama.Data };
        var found = Wait(model.FitAsync(TinyLlama.Data, objective, options));
        var expected = Wait(usual.FitAsync(TinyLlama.Data, options));
        foreach (var (a, b) in found.History.Zip(expected.History).Take(8))
        {
            Check.That(Math.Abs(a.Loss - b.Loss) < 1e-4, $"step {a.Step}: expected a loss of {b.Loss}, found {a.Loss}");
        }

        Check.That(found.EvaluationLoss < 0.7 * found.History[0].Loss, "it learns");

        // Everything that a batch tells.
        var seen = false;
        var looking = TrainingObjective.Custom("looking", batch =>
        {
            Check.Equal((4, 0), (batch.Examples.Count, batch.Pairs), "rows");
            Check.Equal((12L, 64L), (batch.HiddenStates.shape[0], batch.HiddenStates.shape[1]), "hidden states of scored tokens");
            Check.Same([0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3], batch.TargetRows.data<long>(), "their rows");
            Check.Same([20, 21, 22], batch.Examples[0].Labels.Skip(5), "labels");
            Check.That(batch.Parameters.ContainsKey("layers.1.block_output.prefix.weight"), string.Join(", ", batch.Parameters.Keys));
            Check.Equal(256L, batch.BaseLogits().shape[1], "logits of the model itself");
            Check.That(!batch.BaseRowLogProbs().requires_grad, "no gradient through the model itself");
            var direct = batch.Logits.log_softmax(1).gather(1, batch.Targets.unsqueeze(1)).squeeze(1);
            Check.That((direct - batch.LogProbs).abs().max().item<float>() < 1e-4, "log-probabilities");
            Check.That((batch.RowLogProbs.sum() - batch.LogProbs.sum()).abs().item<float>() < 1e-3, "their sums");
            seen = true;
            return -batch.LogProbs.mean();
        });
        Wait(model.FitAsync(TinyLlama.Data, looking, Quick with { Epochs = 1, Shuffle = false }));
        Check.That(seen, "the objective runs");

        void Refuses(Func<ObjectiveBatch, torch.Tensor> loss, params string[] parts) => Check.Throws<InvalidOperationException>(
            () => Wait(model.FitAsync(TinyLlama.Data, TrainingObjective.Custom("mine", loss), Quick)), ["'mine'", .. parts]);
        Refuses(batch => batch.LogProbs, "scalar", "[12]");
        Refuses(batch => batch.LogProbs.detach().mean(), "detached");
        Check.Throws<ArgumentException>(() => TrainingObjective.Custom(" ", batch => batch.Logits));
    }

    private static void OwnPreference()
    {
        var dpo = TrainingObjective.Custom("dpo", batch =>
        {
            using var difference = batch.RowLogProbs - batch.BaseRowLogProbs();
            var margins = difference.narrow(0, 0, batch.Pairs) - difference.narrow(0, batch.Pairs, batch.Pairs);
            return -torch.nn.functional.logsigmoid(0.1f * margins).mean();
        });
        using var own = ReftModel.Load(TinyLlama.Folder, Spec);
        using var usual = ReftModel.Load(TinyLlama.Folder, Spec);
        var found = Wait(own.FitAsync(Pairs, dpo, Quick, Pairs));
        var expected = Wait(usual.FitPreferenceAsync(Pairs, null, Quick, Pairs));
        Check.That(Math.Abs(found.EvaluationLoss!.Value - expected.EvaluationLoss!.Value) < 1e-3, $"expected {expected.EvaluationLoss}, found {found.EvaluationLoss}");
    }

    private static void ReadsRows()
    {
        using var folder = TinyLlama.NewFolder();
        var path = folder.File("pairs.jsonl");
        PreferenceData Read(params string[] lines)
        {
            File.WriteAllLines(path, lines);
            return PreferenceData.FromJsonLines(path);
        }

        var rows = Read(
            """{"prompt": "a", "chosen": "b", "rejected": "c", "score": 3}""",
            "",
            """{"prompt": [1, 2], "chosen": [3], "rejected": "c"}""").Rows;
        Check.Equal(("a", "b", "c"), (rows[0].Prompt, rows[0].Chosen, rows[0].Rejected), "texts");
        Check.Same([1, 2], rows[1].PromptIds!, "ids");
        Check.Equal((null, "c"), (rows[1].Chosen, rows[1].Rejected), "each field by itself");

        void Refuses(string line, params string[] parts) =>
            Check.Throws<InvalidDataException>(() => Read("""{"prompt": "a", "chosen": "b", "rejected": "c"}""", line), ["pairs.jsonl:2", .. parts]);
        Refuses("""{"prompt": "a", "chosen": "b"}""", "'rejected'", "neither");
        Refuses("""{"chosen": "b", "rejected": "c"}""", "'prompt'");
        Refuses("""{"prompt": "a", "chosen": null, "rejected": "c"}""", "'chosen'");
        Refuses("""{"prompt": "a", "chosen": 7, "rejected": "c"}""", "'chosen'", "a string", "the number 7");
        Refuses("""{"prompt": [1, "x"], "chosen": "b", "rejected": "c"}""", "'prompt[1]'");
        Refuses("""{"prompt": "a", "chosen": {"role": "user"}, "rejected": "c"}""", "'chosen'", "an object");
        Refuses("[]", "an array");
        Check.Throws<FileNotFoundException>(() => PreferenceData.FromJsonLines(folder.File("none.jsonl")), "none.jsonl");

        using var model = ReftModel.Load(TinyLlama.Folder, Spec);
        void RefusesRow(PreferenceRow row, params string[] parts) => Check.Throws<InvalidDataException>(
            () => Wait(model.FitPreferenceAsync(PreferenceData.FromRows([Pairs.Rows[0], row]), null, Quick)), ["row 1", .. parts]);
        RefusesRow(Pairs.Rows[0] with { ChosenIds = [3, 999] }, "'chosen[1]'", "999");
        RefusesRow(Pairs.Rows[0] with { RejectedIds = [] }, "'rejected'", "empty");
        RefusesRow(Pairs.Rows[0] with { ChosenIds = null, Chosen = "text" }, "'chosen'", "tokenizer");
        RefusesRow(Pairs.Rows[0] with { Prompt = "both" }, "'prompt'", "both");
    }

    private static void Refusals()
    {
        using var model = ReftModel.Load(TinyLlama.Folder, Spec);
        void Refuses(PreferenceOptions preference, params string[] parts) =>
            Check.Throws<ArgumentException>(() => Wait(model.FitPreferenceAsync(Pairs, preference, Quick)), parts);
        Refuses(new PreferenceOptions { Beta = 0 }, "β");
        Refuses(new PreferenceOptions { LabelSmoothing = 0.7 }, "label smoothing");
        Refuses(new PreferenceOptions { Margin = 1 }, "Margin belongs to SimPo");
        Refuses(new PreferenceOptions { Method = PreferenceMethod.Ipo, LabelSmoothing = 0.1 }, "LabelSmoothing belongs to Dpo");
        Refuses(new PreferenceOptions { Method = PreferenceMethod.Reps, Beta = 1 }, "no Beta");
        Refuses(new PreferenceOptions { Method = PreferenceMethod.Reps, SteeringFactors = [1, -1] }, "-1");
        Refuses(new PreferenceOptions { SteeringFactors = [1] }, "SteeringFactors belongs to Reps");
        Check.Throws<ArgumentException>(() => Wait(model.FitPreferenceAsync(PreferenceData.FromRows([]))), "empty");
        Check.Throws<ArgumentException>(
            () => Wait(model.FitPreferenceAsync(Pairs, null, Quick with { MaxLength = 2 })), "none of the 12 pairs");
        Check.Throws<ArgumentException>(() => model.EvaluatePreference(PreferenceData.FromRows([])), "at least one pair");
        Check.Throws<ArgumentException>(
            () => Wait(model.FitPreferenceAsync(Pairs, null, Quick with { EvaluationData = TinyLlama.Data })), "'evaluation'");
        Check.Throws<ArgumentException>(
            () => Wait(model.FitDistillationAsync(TinyLlama.Data, model, new DistillationOptions { Temperature = 0 })), "temperature");
        Check.Throws<InvalidOperationException>(() => _ = model.Rewards([]), "no classification head");
        model.AttachClassifier(new ClassifierOptions { Labels = ["a", "b"] });
        Check.Throws<InvalidOperationException>(() => Wait(model.FitRewardAsync(Pairs, null, Quick)), "predicts labels");
        using var bare = ReftModel.Load(TinyLlama.Folder);
        Check.Throws<InvalidOperationException>(() => Wait(bare.FitPreferenceAsync(Pairs)), "nothing is attached");

        // The model is free again after each of them.
        Wait(model.FitPreferenceAsync(Pairs, null, Quick with { Epochs = 1 }));
    }

    private static void NothingLeaks()
    {
        using var model = ReftModel.Load(TinyLlama.Folder, Spec);
        using var teacher = ReftModel.Load(TinyLlama.Folder, TinyLlama.Spec);
        var own = TrainingObjective.Custom("own", batch => -batch.LogProbs.mean() + (batch.BaseLogits().mean() * 0));
        void Run()
        {
            var options = Quick with { Epochs = 1 };
            Wait(model.FitPreferenceAsync(Pairs, null, options, Pairs));
            Wait(model.FitPreferenceAsync(Pairs, new PreferenceOptions { Method = PreferenceMethod.Reps }, options, Pairs));
            Wait(model.FitDistillationAsync(TinyLlama.Data, teacher, null, options with { EvaluationData = TinyLlama.Data }));
            Wait(model.FitAsync(TinyLlama.Data, own, options));
            Wait(model.FitRewardAsync(Pairs, null, options, Pairs));
            model.EvaluateReward(Pairs);
            model.EvaluatePreference(Pairs);
            model.EvaluateDistillation(TinyLlama.Data, teacher);
            _ = model.Rewards([new DataRow { InputIds = [1, 2, 3], PromptLength = 1 }]).Single();
        }

        Run();
        GC.Collect();
        GC.WaitForPendingFinalizers();
        var before = torch.Tensor.TotalCount;
        Run();
        GC.Collect();
        GC.WaitForPendingFinalizers();
        Check.Equal(before, torch.Tensor.TotalCount, "live tensors");
    }

    private sealed class Told(Action<TrainingProgress> tell) : IProgress<TrainingProgress>
    {
        public void Report(TrainingProgress value) => tell(value);
    }
}
