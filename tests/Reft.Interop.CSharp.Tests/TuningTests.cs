using Expecto;
using Expecto.CSharp;

namespace Reft.Tests;

/// <summary>Tuning the model itself from C#, alone and with ReFT.</summary>
public static class TuningTests
{
    private static readonly TrainingOptions Quick = new() { LearningRate = 1e-2, Epochs = 3, BatchSize = 4, WarmupRatio = 0 };

    private static readonly (string Text, long Parameters, Func<Tuning> Make)[] Tunings =
    [
        ("lora(rank=2, alpha=4)", 4 * 2 * ((2 * (64 + 64)) + (2 * (64 + 32)) + (3 * (64 + 112))), () => Tuning.Lora(2)),
        ("lora(rank=2, alpha=8, modules=q_proj,v_proj, dropout=0.1)", 4 * 2 * (64 + 64 + 64 + 32), () => Tuning.Lora(2, 8, ["q_proj", "v_proj"], 0.1)),
        ("dora(rank=2, alpha=4)", 4 * ((2 * ((2 * (64 + 64)) + (2 * (64 + 32)) + (3 * (64 + 112)))) + 64 + 32 + 32 + 64 + 112 + 112 + 64), () => Tuning.Dora(2)),
        ("bitfit", 4 * (64 + 32 + 32 + 64 + 112 + 112 + 64), Tuning.BitFit),
        ("prefix(length=3)", 4 * 2 * 3 * 32, () => Tuning.Prefix(3)),
        ("prefix(length=3, projection=8)", (3 * 64) + (8 * 65) + (9 * 4 * 2 * 32), () => Tuning.Prefix(3, 8)),
        ("probe", 256 * 64, Tuning.LastLayer),
    ];

    /// <summary>Tuning the model itself.</summary>
    [Tests]
    public static readonly Test Tuned = Runner.TestList(
        "Tuning the model itself",
        [
            .. Tunings.Select(t => Runner.TestCase($"{t.Text} trains, is saved and loads, with LoReFT too", () => Trains(t.Text, t.Parameters, t.Make()))),
            Runner.TestCase("full fine-tuning is saved as a model's folder", Full),
            Runner.TestCase("LoRA is saved as peft saves it, and merged", Lora),
            Runner.TestCase("with a classification head", Classifies),
            Runner.TestCase("maps are parted by commas or semicolons", Modules),
            Runner.TestCase("bottleneck adapters", Adapters),
            Runner.TestCase("what is refused, with the fix", Refusals),
            Runner.TestCase("training, generating and detaching leave no tensors behind", NothingLeaks),
        ]);

    private static float[] Scores(ReftModel model) =>
        [.. model.Score(Enumerable.Range(0, 3).Select(i => new DataRow { InputIds = [1, 40 + i, 80 - i, 20, 21, 22], PromptLength = 4 }))
            .SelectMany(score => score.LogProbs)];

    private static void Fit(ReftModel model, TrainingOptions? options = null)
    {
        var before = model.Evaluate(TinyLlama.Data);
        var result = model.FitAsync(TinyLlama.Data, options ?? Quick).GetAwaiter().GetResult();
        Check.Equal(model.Describe().TrainableParameters, result.TrainableParameters, "the parameters of the run");
        var after = model.Evaluate(TinyLlama.Data);
        Check.That(after < before, $"expected the loss to fall from {before}, found {after}");
    }

    private static void Trains(string text, long parameters, Tuning tuning)
    {
        Check.Equal(text, tuning.ToString(), "the text");
        foreach (var spec in new[] { new ReftSpec(), TinyLlama.Spec })
        {
            using var folder = TinyLlama.NewFolder();
            using var model = ReftModel.Load(TinyLlama.Folder);
            var plain = Scores(model);
            model.Attach(spec);
            var edits = model.Describe().TrainableParameters;
            model.AttachTuning(tuning);
            var described = model.Describe();
            Check.Equal((text, edits + parameters), (described.Tuning, described.TrainableParameters), "the description");
            Fit(model, text.StartsWith("prefix(length=3)", StringComparison.Ordinal) ? Quick with { LearningRate = 0.2 } : null);
            model.SaveAdapter(folder.Path);

            using var fresh = ReftModel.Load(TinyLlama.Folder).LoadAdapter(folder.Path);
            Check.Same(Scores(model), Scores(fresh), "scores after loading");
            Check.Equal(text, fresh.Tuning?.ToString(), "the tuning that was loaded");
            var options = new GenerationOptions { MaxNewTokens = 4, IgnoreEos = true };
            Check.Same(
                model.Generate([1, 40, 80], options).TokenIds, fresh.Generate([1, 40, 80], options).TokenIds, "what it says");
            Check.Equal(text, AdapterInfo.Read(folder.Path).Tuning, "the text of the folder");
            Check.That(!Scores(fresh).SequenceEqual(plain), "expected other scores than the base model's");
            Check.Same(plain, Scores(fresh.Detach()), "the base model's scores, once it is detached");
        }
    }

    private static void Full()
    {
        using var folder = TinyLlama.NewFolder();
        using var source = TinyLlama.WithTokenizer();
        using var model = ReftModel.Load(source.Path).AttachTuning(Tuning.Full());
        Check.Equal(model.Config.ParameterCount, model.Describe().TrainableParameters, "all weights");
        Fit(model, Quick with { LearningRate = 1e-3 });
        model.SaveModel(folder.File("model"));
        using var saved = ReftModel.Load(folder.File("model"));
        Check.Same(Scores(model), Scores(saved), "scores");
        Check.Equal(model.Score("abc").Loss, saved.Score("abc").Loss, "with its tokenizer");
        model.SaveAdapter(folder.File("adapter"));
        using var loaded = ReftModel.Load(source.Path).LoadAdapter(folder.File("adapter"));
        Check.Same(Scores(model), Scores(loaded), "scores of the adapter");
        Check.Throws<InvalidOperationException>(() => model.SaveModel(source.Path), "own folder");
        Check.Throws<InvalidOperationException>(() => model.SavePeftAdapter(folder.File("peft")), "lora and dora", "SaveModel");
    }

    private static void Lora()
    {
        using var folder = TinyLlama.NewFolder();
        using var model = ReftModel.Load(TinyLlama.Folder).AttachTuning(Tuning.Lora(2, modules: ["q_proj", "down_proj"]));
        Fit(model);
        model.SavePeftAdapter(folder.File("peft"));
        using var beside = ReftModel.Load(TinyLlama.Folder, new ModelOptions { LoraAdapter = folder.File("peft") });
        Close(Scores(model), Scores(beside), "peft's format");
        model.SaveModel(folder.File("merged"));
        using var merged = ReftModel.Load(folder.File("merged"));
        Close(Scores(model), Scores(merged), "merged");

        using var eight = ReftModel.Load(TinyLlama.Folder, new ModelOptions { Weights = WeightStorage.EightBit });
        Fit(eight.AttachTuning(Tuning.Lora(2)));
        Check.Throws<InvalidOperationException>(() => eight.SaveModel(folder.File("eight")), "int8", "as stored");

        static void Close(float[] expected, float[] found, string what)
        {
            var worst = expected.Zip(found, (a, b) => Math.Abs(a - b)).Max();
            Check.That(worst < 1e-4, $"{what}: expected the same log-probabilities, found a difference of {worst}");
        }
    }

    private static void Classifies()
    {
        using var folder = TinyLlama.NewFolder();
        var data = ClassificationData.FromRows(Enumerable.Range(0, 24).Select(i => new LabelledRow
        {
            InputIds = [1, 40 + i, 200 + (i % 3), 30 + (2 * i)],
            Labels = [$"label {i % 3}"],
        }));
        using var model = ReftModel.Load(TinyLlama.Folder).AttachTuning(Tuning.Lora(4));
        model.FitClassifierAsync(data, Quick with { Epochs = 20 }).GetAwaiter().GetResult();
        var found = model.EvaluateClassifier(data);
        Check.That(found.Accuracy > 0.9, $"expected the labels to be learnt, found {found}");
        model.SaveAdapter(folder.Path);
        using var fresh = ReftModel.Load(TinyLlama.Folder).LoadAdapter(folder.Path);
        Check.Equal(found, fresh.EvaluateClassifier(data), "after loading");

        model.AttachTuning(Tuning.LastLayer());
        Check.Throws<InvalidOperationException>(
            () => model.FitClassifierAsync(data, Quick).GetAwaiter().GetResult(), "probe", "attach nothing");
    }

    private static void Modules()
    {
        using var model = ReftModel.Load(TinyLlama.Folder);
        long Count(string modules) =>
            model.AttachTuning(Tuning.Named("lora", [new("rank", "2"), new("modules", modules)])).Describe().TrainableParameters;
        Check.Equal(Count("q_proj,v_proj"), Count("q_proj;v_proj"), "parameters of two kinds of maps, however they are parted");
        Check.That(Count("q_proj") < Count("q_proj;v_proj"), "expected fewer parameters of one kind");
    }

    private static void Adapters()
    {
        using var model = ReftModel.Load(TinyLlama.Folder);
        var plain = Scores(model);
        model.Attach(Interventions.BottleneckAdapters(4));
        Check.Same(plain, Scores(model), "they start at the base model");
        Check.Equal(4 * 2 * ((2 * 4 * 64) + 4 + 64), model.Describe().TrainableParameters, "behind attention and MLP");
        Fit(model);
        Check.Equal(
            4 * ((2 * 4 * 64) + 4 + 64),
            model.Attach(Interventions.BottleneckAdapters(4, mlpOnly: true)).Describe().TrainableParameters,
            "behind the MLP alone");
    }

    private static void Refusals()
    {
        using var eight = ReftModel.Load(TinyLlama.Folder, new ModelOptions { Weights = WeightStorage.EightBit });
        Check.Throws<ArgumentException>(() => eight.AttachTuning(Tuning.Full()), "int8", "as stored", "lora");
        Check.Throws<ArgumentException>(() => eight.AttachTuning(Tuning.Lora(2, modules: ["q_porj"])), "'q_porj'", "q_proj");
        Check.Throws<ArgumentException>(() => Tuning.Lora(0), "rank of 1 or more");
        Check.Throws<ArgumentException>(() => Tuning.Named("lroa"), "'lroa'", "lora, dora");
        Check.Throws<ArgumentException>(() => Tuning.Named("prefix"), "'length'");
        Check.Throws<InvalidOperationException>(() => eight.SavePeftAdapter("nowhere"), "AttachTuning");
    }

    private static void NothingLeaks()
    {
        using var model = ReftModel.Load(TinyLlama.Folder);
        Work();
        var before = Tensors();
        Work();
        Check.Equal(before, Tensors(), "living tensors");

        void Work()
        {
            foreach (var (_, _, make) in Tunings)
            {
                model.AttachTuning(make());
                model.FitAsync(TinyLlama.Data, Quick with { Epochs = 1 }).GetAwaiter().GetResult();
                model.Generate([1, 40, 80], new GenerationOptions { MaxNewTokens = 2 });
            }

            model.Detach();
        }

        static long Tensors()
        {
            GC.Collect();
            GC.WaitForPendingFinalizers();
            return TorchSharp.torch.Tensor.TotalCount;
        }
    }
}
