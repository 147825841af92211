using Expecto;
using Expecto.CSharp;

namespace Reft.Tests;

/// <summary>Classification and regression from C#.</summary>
public static class ClassifierTests
{
    private static readonly string Roberta = RepositoryFiles.At("tests/golden/a_models/roberta_seqcls/model");
    private static readonly string Bert = RepositoryFiles.At("tests/golden/a_models/bert_seqcls/model");

    private static readonly ReftSpec Spec = new ReftSpec()
        .At(Sites.BlockOutput(0, 1, 2), Positions.All, Interventions.Loreft(rank: 4));

    private static readonly TrainingOptions Quick = new() { LearningRate = 2e-2, Epochs = 20, BatchSize = 8, WarmupRatio = 0 };

    /// <summary>Classification and regression.</summary>
    [Tests]
    public static readonly Test Classifiers = Runner.TestList(
        "Classifiers",
        [
            Runner.TestCase("a classifier's folder brings its head, frozen until it is to be trained", OwnHead),
            Runner.TestCase("an encoder learns labels; save and load give the same scores exactly", EncoderLearns),
            Runner.TestCase("a decoder learns to classify texts, with the labels of the rows", DecoderLearnsTexts),
            Runner.TestCase("a decoder learns numbers", DecoderLearnsNumbers),
            Runner.TestCase("several labels of a row", SeveralLabels),
            Runner.TestCase("a second text is of another segment", TextPairs),
            Runner.TestCase("labels are found in rows", FindsLabels),
            Runner.TestCase("rows are read from JSON lines", ReadsRows),
            Runner.TestCase("what is refused", Refusals),
            Runner.TestCase("training and classifying leave no tensors behind", NothingLeaks),
        ]);

    // One token of each row says its label.
    private static ClassificationData Toy(Func<int, LabelledRow> label) =>
        ClassificationData.FromRows(Enumerable.Range(0, 24).Select(i => label(i % 3) with
        {
            InputIds = [0, 40 + i, 90 + (i % 5), 200 + (i % 3), 30 + (2 * i), 2],
        }));

    private static TrainingResult Fit(ReftModel model, ClassificationData data, TrainingOptions? options = null) =>
        model.FitClassifierAsync(data, options ?? Quick).GetAwaiter().GetResult();

    private static double[] Scores(ReftModel model, ClassificationData data) =>
        [.. model.Classify(data.Rows, 5).SelectMany(row => row.Scores.Select(score => score.Score))];

    private static void OwnHead()
    {
        using var model = ReftModel.Load(Roberta);
        Check.Equal(
            (ClassifierProblem.SingleLabel, 3, (32L * 32) + 32 + (3 * 32) + 3, 0L),
            (model.Classifier!.Problem, model.Classifier.Labels.Count, model.Classifier.Parameters, model.Classifier.TrainableParameters),
            "the head");
        var found = model.Classify([new LabelledRow { InputIds = [0, 58, 114, 2] }]).Single();
        Check.That(Math.Abs(found.Scores.Sum(score => score.Score) - 1) < 1e-9, "probabilities add up to 1");
        Check.Equal(found.Scores.MaxBy(score => score.Score)!.Label, found.Label, "the likeliest label");
        Check.Same([found.Label!], found.Labels, "it alone");
        Check.Equal(null, found.Value, "no number");
        Check.Equal(0L, model.Describe().TrainableParameters, "nothing is trainable");
        Check.Equal(
            model.Classifier.Parameters, model.UseOwnClassifier(ClassifierTraining.Classifier).Classifier!.TrainableParameters, "trained when asked");
        Check.That(model.Describe().ToString().Contains("3 labels", StringComparison.Ordinal), "the description shows the head");
        using var bert = ReftModel.Load(Bert);
        Check.Equal((3L * 32) + 3, bert.UseOwnClassifier(ClassifierTraining.Classifier).Classifier!.TrainableParameters, "the pooler is BERT's");
    }

    private static void EncoderLearns()
    {
        foreach (var folder in new[] { Roberta, Bert })
        {
            var data = Toy(label => new LabelledRow { Label = $"LABEL_{label}" });
            using var output = TinyLlama.NewFolder();
            using var model = ReftModel.Load(folder, Spec).UseOwnClassifier(ClassifierTraining.Classifier);
            var before = model.EvaluateClassifier(data);
            var result = Fit(model, data);
            var after = model.EvaluateClassifier(data);
            Check.That(after.Loss < before.Loss / 2 && after.Accuracy > 0.9, $"expected the task to be learnt, found {before} → {after}");
            Check.Equal(null, after.Pearson, "no correlation of labels");
            var described = model.Describe();
            Check.Equal(
                (described.TrainableParameters, described.Classifier!.TrainableParameters),
                (result.TrainableParameters, result.HeadParameters),
                "parameters, counted apart");

            // 3 layers × (R 32 × 4, W 4 × 32, b 4).
            Check.Equal(3L * (128 + 128 + 4), result.TrainableParameters, "the interventions' parameters");

            model.SaveAdapter(output.Path);
            using var fresh = ReftModel.Load(folder).LoadAdapter(output.Path);
            Check.Same(Scores(model, data), Scores(fresh, data), "scores after loading");
            Check.Equal(described.ToString(), fresh.Describe().ToString(), "the description after loading");
            Check.Equal(described.Classifier!.ToString(), AdapterInfo.Read(output.Path).Classifier!.ToString(), "the head in the file");
            using var untouched = ReftModel.Load(folder);
            Check.Same(Scores(untouched, data), Scores(fresh.Detach(), data), "detaching gives the model of the folder");
        }
    }

    private static void DecoderLearnsTexts()
    {
        using var folder = TinyLlama.WithTokenizer();
        using var output = TinyLlama.NewFolder();
        var spec = new ReftSpec().At(Sites.BlockOutput(Layers.All), Positions.Last(3), Interventions.Loreft(rank: 4));
        var data = ClassificationData.FromLabels(
            Enumerable.Range(0, 24).Select(i => (i % 2 == 0 ? $"{i} is even" : $"{i} is odd", i % 2 == 0 ? "even" : "odd")));
        using var model = ReftModel.Load(folder.Path, spec);
        var result = Fit(model, data, Quick with { Epochs = 10 });
        Check.Equal(2L * 64, result.HeadParameters, "score has no bias");
        Check.Same(["even", "odd"], model.Classifier!.Labels, "the labels of the rows");
        Check.That(model.EvaluateClassifier(data).Accuracy > 0.9, $"expected the task to be learnt, found {model.EvaluateClassifier(data)}");
        Check.Equal("odd", model.Classify("31 is odd").Label, "a new text");
        model.SaveAdapter(output.Path);
        using var fresh = ReftModel.Load(folder.Path).LoadAdapter(output.Path);
        Check.Equal(model.Classify("5 is odd").Scores[0], fresh.Classify("5 is odd").Scores[0], "scores after loading");

        // A row that is cut keeps its first tokens; two texts are one row.
        Check.Same(
            Scores(model, ClassificationData.FromRows([new LabelledRow { Text = "12 is ev", TextPair = "en" }])),
            Scores(model, ClassificationData.FromRows([new LabelledRow { Text = "12 is even" }])),
            "two texts of a decoder stand one after the other");
    }

    private static void DecoderLearnsNumbers()
    {
        using var model = ReftModel.Load(TinyLlama.Folder, Spec);
        var data = Toy(label => new LabelledRow { Value = label - 1 });
        var before = model.AttachClassifier(data.ToClassifier()).EvaluateClassifier(data);
        Fit(model, data);
        var after = model.EvaluateClassifier(data);
        Check.That(after.Loss < before.Loss / 2 && after.Pearson > 0.8, $"expected the task to be learnt, found {before} → {after}");
        var found = model.Classify(data.Rows).First();
        Check.That(found is { Label: null, Value: not null, Labels.Count: 0, Scores.Count: 0 }, "a number and no label");
    }

    private static void SeveralLabels()
    {
        using var model = ReftModel.Load(Roberta, Spec);
        var data = Toy(label => new LabelledRow { Labels = label == 0 ? [] : label == 1 ? ["a"] : ["a", "b"] });
        Check.Throws<InvalidDataException>(() => model.EvaluateClassifier(data), "row 0", "'label'");
        model.AttachClassifier(data.ToClassifier());
        Fit(model, data);
        Check.That(model.EvaluateClassifier(data).Accuracy > 0.9, $"expected the task to be learnt, found {model.EvaluateClassifier(data)}");
        var found = model.Classify(data.Rows.Take(3)).ToArray();
        Check.Same([0, 1, 2], found.Select(row => row.Labels.Count), "labels of each row");
        Check.Equal(null, found[2].Label, "no single label");
        Check.That(found[2].Scores.Sum(score => score.Score) > 1.2, "each label has a probability of its own");
    }

    private static void TextPairs()
    {
        using var model = ReftModel.Load(Bert);
        LabelledRow row = new() { InputIds = [2, 17, 30, 3, 41, 9, 3] };
        double[] Of(params int[] segments) => Scores(model, ClassificationData.FromRows([row with { TokenTypeIds = segments }]));
        Check.That(!Of(0, 0, 0, 0, 1, 1, 1).SequenceEqual(Of(0, 0, 0, 0, 0, 0, 0)), "segments should matter");
        Check.Throws<InvalidDataException>(() => Of(0, 0, 0, 0, 2, 1, 1), "token_type_ids", "0 … 1");
        Check.Throws<InvalidDataException>(() => Of(0, 1), "token_type_ids", "7 input_ids");
        using var roberta = ReftModel.Load(Roberta);
        Check.Same(
            Scores(roberta, ClassificationData.FromRows([row])),
            Scores(roberta, ClassificationData.FromRows([row with { TokenTypeIds = [0, 0, 0, 0, 1, 1, 1] }])),
            "RoBERTa tells no segments apart");
    }

    private static void FindsLabels()
    {
        ClassifierOptions Of(params LabelledRow[] rows) => ClassificationData.FromRows(rows).ToClassifier();
        var named = Of(new LabelledRow { Label = "spam" }, new LabelledRow { Label = "ham" }, new LabelledRow { Label = "spam" });
        Check.Same(["ham", "spam"], named.Labels, "names in order");
        Check.Same(["2", "10"], Of(new LabelledRow { Label = "10", Value = 10 }, new LabelledRow { Label = "2", Value = 2 }).Labels, "numbers");
        Check.Equal(ClassifierProblem.Regression, Of(new LabelledRow { Label = "3", Value = 3 }, new LabelledRow { Value = 0.5 }).Problem, "numbers of a regression");
        Check.Equal(ClassifierProblem.MultiLabel, Of(new LabelledRow { Labels = ["a"] }, new LabelledRow { Labels = [] }).Problem, "several labels");
        Check.Throws<InvalidDataException>(() => Of(new LabelledRow { Label = "a" }, new LabelledRow { Source = "x.jsonl:2" }), "x.jsonl:2", "label");
        Check.Throws<ArgumentException>(() => Of(), "empty");
    }

    private static void ReadsRows()
    {
        using var folder = TinyLlama.NewFolder();
        var path = folder.File("rows.jsonl");
        IReadOnlyList<LabelledRow> Read(params string[] lines)
        {
            File.WriteAllLines(path, lines);
            return LabelledRow.FromJsonLines(path);
        }

        var rows = Read(
            """{"text": "a", "text_pair": "b", "label": "yes", "idx": 7}""",
            "",
            """{"text": "c", "label": 1}""",
            """{"input_ids": [1, 2], "token_type_ids": [0, 1], "label": 0.25}""",
            """{"text": "d", "labels": ["x", 2]}""",
            """{"text": "e", "label": ["x"]}""",
            """{"text": "f", "label": true}""",
            """{"text": "g"}""");
        Check.Equal(("a", "b", "yes"), (rows[0].Text, rows[0].TextPair, rows[0].Label), "texts and a label");
        Check.Equal(("1", 1.0), (rows[1].Label, rows[1].Value), "a whole number may be either");
        Check.Equal((null, 0.25), (rows[2].Label, rows[2].Value), "a number");
        Check.Same([0, 1], rows[2].TokenTypeIds!, "segments");
        Check.Same(["x", "2"], rows[3].Labels!, "several labels");
        Check.Same(["x"], rows[4].Labels!, "several labels, under the other name");
        Check.Equal("true", rows[5].Label, "a truth");
        Check.Equal((null, null, null), (rows[6].Label, rows[6].Labels, rows[6].Value), "no label");
        Check.Throws<InvalidDataException>(() => Read("""{"text": "a", "label": {}}"""), "rows.jsonl:1", "'label'", "an object");
        Check.Throws<InvalidDataException>(() => Read("""{"text": "a", "labels": "x"}"""), "'labels'", "array");
        Check.Throws<InvalidDataException>(() => Read("""{"text": "a", "label": ["x", 0.5]}"""), "'label[1]'", "0.5");
        Check.Throws<InvalidDataException>(() => Read("""{"text": "a", "label": 1e999}"""), "'label'", "finite");
        Check.Throws<InvalidDataException>(() => Read("""{"text": "a", "label": "x", "labels": ["x"]}"""), "'labels'", "beside 'label'");
        Check.Throws<InvalidDataException>(() => Read("""{"text": 3}"""), "'text'", "a string");
    }

    private static void Refusals()
    {
        using var model = ReftModel.Load(Roberta, Spec);
        LabelledRow row = new() { InputIds = [0, 5, 2], Label = "LABEL_1" };
        void Evaluates(LabelledRow changed, params string[] fragments) => Check.Throws<InvalidDataException>(
            () => model.EvaluateClassifier(ClassificationData.FromRows([row, changed])), fragments);
        Evaluates(row with { Label = "LABEL_9" }, "row 1", "LABEL_0, LABEL_1, LABEL_2", "LABEL_9");
        Evaluates(row with { Label = "3" }, "row 1", "'3'");
        Evaluates(row with { Label = null }, "row 1", "none");
        Evaluates(row with { Text = "both" }, "row 1", "'input_ids'");
        Evaluates(row with { InputIds = null }, "row 1", "'text'");
        Evaluates(row with { InputIds = [0, 999] }, "input_ids[1]", "0 … 255");
        Evaluates(row with { InputIds = null, Text = "no tokenizer" }, "tokenizer.json");
        Check.Equal(2, model.EvaluateClassifier(ClassificationData.FromRows([row, row with { Label = "2" }])).Rows, "labels by number");
        Check.Throws<ArgumentException>(() => model.EvaluateClassifier(ClassificationData.FromRows([])), "at least one row");
        Check.Throws<InvalidOperationException>(() => model.Regress("text"), "Classify");

        // An encoder predicts no next token.
        Check.Throws<InvalidOperationException>(() => _ = model.Score([1, 2, 3]), "roberta is an encoder");
        Check.Throws<InvalidOperationException>(() => model.Evaluate(TinyLlama.Data), "roberta is an encoder");
        Check.Throws<InvalidOperationException>(() => model.FitAsync(TinyLlama.Data).GetAwaiter().GetResult(), "roberta is an encoder");

        Check.Throws<ArgumentException>(() => model.AttachClassifier(new ClassifierOptions { Labels = ["a"] }), "two or more labels");
        Check.Throws<ArgumentException>(() => model.AttachClassifier(new ClassifierOptions { Labels = ["a", "a"] }), "'a' twice");
        Check.Throws<ArgumentException>(
            () => model.AttachClassifier(new ClassifierOptions { Labels = ["a", "b"], Training = ClassifierTraining.Frozen }), "trained");
        Check.Throws<ArgumentException>(
            () => model.FitClassifierAsync(ClassificationData.FromRows([row]), new TrainingOptions { EvaluationData = TinyLlama.Data })
                .GetAwaiter().GetResult(),
            "evaluation");
        Check.Throws<InvalidOperationException>(
            () => ReftModel.Load(Roberta).FitClassifierAsync(ClassificationData.FromRows([row])).GetAwaiter().GetResult(), "nothing to train");

        using var llama = ReftModel.Load(TinyLlama.Folder, TinyLlama.Spec);
        Check.Throws<InvalidOperationException>(() => llama.Classify([row]), "no classification head");
        Check.Throws<InvalidOperationException>(() => llama.UseOwnClassifier(ClassifierTraining.Whole), "no classification head");
        Check.Equal(null, llama.Classifier, "no head");
    }

    private static void NothingLeaks()
    {
        var data = Toy(label => new LabelledRow { Label = $"LABEL_{label}" });
        void Work()
        {
            using var model = ReftModel.Load(Bert, Spec).UseOwnClassifier(ClassifierTraining.Whole);
            Fit(model, data, Quick with { Epochs = 1 });
            model.EvaluateClassifier(data);
            Scores(model, data);
            model.AttachClassifier(new ClassifierOptions { Labels = ["x", "y"] });
        }

        Work();

        // What other tests left to finalizers must not count; what this one leaves to them must, so they may not run.
        GC.Collect();
        GC.WaitForPendingFinalizers();
        Check.That(GC.TryStartNoGCRegion(200_000_000), "the collector should wait");
        var before = TorchSharp.torch.Tensor.TotalCount;
        Work();
        var after = TorchSharp.torch.Tensor.TotalCount;
        GC.EndNoGCRegion();
        Check.Equal(before, after, "living tensors");
    }
}
