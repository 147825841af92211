using Expecto;
using Expecto.CSharp;
using TorchSharp;

namespace Reft.Tests;

/// <summary>Reading hidden states, and letting interchanges put them in other runs' place.</summary>
public static class CollectingTests
{
    /// <summary>Collecting and interchanges.</summary>
    [Tests]
    public static readonly Test Collecting = Runner.TestList(
        "Collecting",
        [
            Runner.TestCase("values, rows and tokens are those that an edit there sees", WhatAnEditSees),
            Runner.TestCase("the base model, or the model with what is attached", BaseOrAttached),
            Runner.TestCase("batches, async and order agree", Batches),
            Runner.TestCase("an interchange of the last layer says what the source says", LastLayer),
            Runner.TestCase("sources stand row for row in generation, scoring and training", RowForRow),
            Runner.TestCase("DAS trains on sources, is saved and scores the same", TrainsOnSources),
            Runner.TestCase("every method that reads other runs is made and saved", EveryMethod),
            Runner.TestCase("an own intervention reads sources", OwnReader),
            Runner.TestCase("collecting and reading sources leave no tensors behind", NothingLeaks),
            Runner.TestCase("what does not fit is refused", Refusals),
        ]);

    private static readonly int[][] Prompts = [[1, 5, 6, 7, 8], [1, 40, 41], [1, 60, 61, 62], [1, 90, 91, 92, 93, 94]];

    private static IEnumerable<DataRow> Rows => Prompts.Select(ids => new DataRow { InputIds = ids });

    private static readonly GenerationOptions Short = new() { MaxNewTokens = 3, IgnoreEos = true, BatchSize = 3 };

    private static string Told(CollectedActivation a) => $"{a.Site} {a.Row} {a.Token} {a.Width}";

    private static void WhatAnEditSees()
    {
        var seen = new List<float>();
        var probe = Interventions.Replace("probe", h =>
        {
            seen.AddRange(h.contiguous().data<float>().ToArray());
            return h.alias();
        });
        using var model = ReftModel.Load(TinyLlama.Folder, new ModelOptions { Dtype = ModelDtype.Fp32 });
        foreach (var sites in new[] { Sites.BlockOutput(3), Sites.MlpActivation(0), Sites.BlockInput(2), Sites.Query(1).Heads(1, 2) })
        {
            seen.Clear();
            var found = model.Collect(Rows.Take(2), sites, Positions.First(1) + Positions.Last(2));
            model.Attach(new ReftSpec().At(sites, Positions.First(1) + Positions.Last(2), probe).Tied());
            _ = model.Score(Rows.Take(2)).ToArray();
            Check.Same(seen, found.SelectMany(a => a.Values.ToArray()), $"values at {sites}");
            model.Detach();
        }

        var last = model.Collect(Rows.Take(2), Sites.BlockOutput(1, 3), Positions.First(1) + Positions.Last(2));
        Check.Same(
            [
                "layers.1.block_output 0 0 64", "layers.1.block_output 0 4 64", "layers.1.block_output 0 3 64",
                "layers.1.block_output 1 0 64", "layers.1.block_output 1 2 64", "layers.1.block_output 1 1 64",
            ],
            last.At("layers.1.block_output").Select(Told),
            "the first site");
        Check.Equal((12, 2), (last.Count, last.RowCount), "counts");
        Check.Same(last, Enumerable.Range(0, 12).Select(i => last[i]), "indexing");
        Check.Throws<ArgumentOutOfRangeException>(() => _ = last[12], "0 … 11");
        Check.Throws<ArgumentException>(() => last.At("layers.2.block_output"), "layers.1.block_output, layers.3.block_output");

        // Rows with a completion: positions count in the prompt, or after it.
        var rows = new[] { new DataRow { InputIds = [1, 5, 6, 7, 8], PromptLength = 3 } };
        Check.Equal(2, model.Collect(rows, Sites.BlockOutput(1), Positions.Last(1)).Single().Token, "the prompt's last token");
        Check.Equal(
            3,
            model.Collect(rows, Sites.BlockOutput(1), Positions.First(1), new() { Phase = InterventionPhase.Decode }).Single().Token,
            "the first token after the prompt");
    }

    private static void BaseOrAttached()
    {
        using var model = ReftModel.Load(TinyLlama.Folder);
        var bare = Values(new());
        model.Attach(new ReftSpec().At(Sites.BlockOutput(0), Positions.All, Interventions.ZeroOut()));
        Check.Same(bare, Values(new CollectOptions { BaseModel = true }), "the base model");
        Check.That(!bare.SequenceEqual(Values(new())), "an edit below should show");
        Check.That(
            model.Collect(Rows, Sites.BlockOutput(0), Positions.All).All(a => a.Values.ToArray().All(value => value == 0)),
            "an edit at the site itself should show");

        float[] Values(CollectOptions options) =>
            [.. model.Collect(Rows, Sites.BlockOutput(2), Positions.Last(1), options).SelectMany(a => a.Values.ToArray())];
    }

    private static void Batches()
    {
        using var folder = TinyLlama.WithTokenizer();
        using var model = ReftModel.Load(folder.Path, new ModelOptions { Dtype = ModelDtype.Fp32 });
        var together = model.Collect(["abc", "@", "hello"], Sites.BlockOutput(0, 2), Positions.All);
        var apart = model.Collect(
            ["abc", "@", "hello"], Sites.BlockOutput(0, 2), Positions.All, new CollectOptions { BatchSize = 1 });
        Check.Same(together.Select(Told), apart.Select(Told), "the order");
        Check.Equal(2 * (4 + 2 + 6), together.Count, "BOS and every character, at two sites");
        var difference = together.Zip(apart, (a, b) => a.Values.ToArray().Zip(b.Values.ToArray(), (x, y) => Math.Abs(x - y)).Max()).Max();
        Check.That(difference < 1e-4, $"expected the same values in any batch, found a difference of {difference}");

        var rows = new[] { "abc", "@", "hello" }.Select(prompt => new DataRow { Prompt = prompt });
        var later = model.CollectAsync(rows, Sites.BlockOutput(0, 2), Positions.All).GetAwaiter().GetResult();
        Check.Same(
            together.SelectMany(a => a.Values.ToArray()), later.SelectMany(a => a.Values.ToArray()), "values on a thread of its own");
        Check.Throws<OperationCanceledException>(() => model
            .CollectAsync(rows, Sites.BlockOutput(0), Positions.All, null, new CancellationToken(canceled: true)).GetAwaiter().GetResult());
    }

    private static void LastLayer()
    {
        foreach (var dtype in new[] { ModelDtype.Fp32, ModelDtype.Bf16 })
        {
            using var model = ReftModel.Load(TinyLlama.Folder, new ModelOptions { Dtype = dtype });
            var own = model.GenerateRows(Rows, Short).Select(result => result.TokenIds[0]).ToArray();
            var collected = model.Collect(Rows, Sites.BlockOutput(3), Positions.Last(1));
            model.Attach(new ReftSpec().At(Sites.BlockOutput(3), Positions.Last(1), Interventions.Interchange()));

            // Each prompt says first what the prompt before it says: the head sees nothing else.
            var swapped = Prompts.Skip(1).Append(Prompts[0]).Select(ids => new DataRow { InputIds = ids });
            var found = model.GenerateRows(swapped, Short with { Sources = [collected] }).Select(result => result.TokenIds[0]);
            Check.Same(own, found, $"first tokens in {dtype}");

            var streamed = new List<int>();
            Drain(model, new GenerationOptions { MaxNewTokens = 1, Sources = [collected] }, streamed).GetAwaiter().GetResult();
            Check.Same([own[0]], streamed, "a streamed token");
        }

        static async Task Drain(ReftModel model, GenerationOptions options, List<int> tokens)
        {
            await foreach (var piece in model.GenerateStreamAsync(Prompts[2], options).ConfigureAwait(false))
            {
                tokens.Add(piece.TokenId);
            }
        }
    }

    private static void RowForRow()
    {
        using var model = ReftModel.Load(TinyLlama.Folder);
        var data = TrainingData.FromExamples(Prompts.Select(ids => TrainingExample.FromCompletion(ids, [20, 21])));
        var scored = Scores(null);
        var loss = model.Evaluate(data, 3);
        var generated = Tokens(Short);

        // A run's own activations change nothing, whatever the batches.
        var own = model.Collect(
            data.Rows, Sites.BlockOutput(1), Positions.First(1) + Positions.Last(1), new CollectOptions { BatchSize = 3 });
        var spec = new ReftSpec()
            .At(Sites.BlockOutput(1), Positions.First(1) + Positions.Last(1), Interventions.Interchange("own")).Tied();
        model.Attach(spec);
        Check.Same(scored, Scores([own.As("own")]), "scores");
        Check.Equal(loss, model.Evaluate(data.WithSources(own.As("own")), 3), "the loss");
        Check.Same(generated, Tokens(Short with { Sources = [own.As("own")] }), "tokens");

        // Another order of the rows does.
        var turned = model.Collect(
            data.Rows.Reverse(), Sites.BlockOutput(1), Positions.First(1) + Positions.Last(1), new() { BaseModel = true, Name = "own" });
        Check.That(!scored.SequenceEqual(Scores([turned])), "sources of other rows should change the scores");

        float[] Scores(IReadOnlyList<CollectedActivations>? sources) =>
            [.. model.Score(data.Rows, 3, sources).SelectMany(score => score.LogProbs)];

        int[] Tokens(GenerationOptions options) => [.. model.GenerateRows(Rows, options).SelectMany(result => result.TokenIds)];
    }

    private static void TrainsOnSources()
    {
        using var folder = TinyLlama.NewFolder();
        using var model = ReftModel.Load(TinyLlama.Folder);

        // Each row is to say what its source would: the subspace that carries it is learnt.
        var sources = Prompts.SelectMany((_, i) => Enumerable.Repeat(i, 3)).ToArray();
        var bases = Prompts.SelectMany((_, i) => Enumerable.Range(1, 3).Select(step => (i + step) % 4)).ToArray();
        var says = model.GenerateRows(Rows, Short).Select(result => result.TokenIds[0]).ToArray();
        var collected = model.Collect(
            sources.Select(i => new DataRow { InputIds = Prompts[i] }), Sites.BlockOutput(2), Positions.Last(1));
        var data = TrainingData
            .FromExamples(bases.Zip(sources, (b, s) => TrainingExample.FromCompletion(Prompts[b], [says[s]])))
            .WithSources(collected);
        model.Attach(new ReftSpec().At(Sites.BlockOutput(2), Positions.Last(1), Interventions.RotatedInterchange(8)));
        var before = model.Evaluate(data);
        var result = model.FitAsync(
            data, new TrainingOptions { Epochs = 10, BatchSize = 4, LearningRate = 2e-2, EvaluationData = data }).GetAwaiter().GetResult();
        Check.That(result.EvaluationLoss < before - 0.3, $"expected the loss to fall well below {before}, found {result.EvaluationLoss}");
        Check.Equal(model.Evaluate(data, 4), result.EvaluationLoss, "the loss after training");
        model.SaveAdapter(folder.Path);
        using var fresh = ReftModel.Load(TinyLlama.Folder).LoadAdapter(folder.Path);
        Check.Equal(model.Evaluate(data), fresh.Evaluate(data), "the loss after loading");
    }

    private static void EveryMethod()
    {
        using var folder = TinyLlama.NewFolder();
        using var model = ReftModel.Load(TinyLlama.Folder);
        var basis = new PrincipalComponents(torch.eye(64).narrow(0, 0, 8).contiguous(), torch.zeros(64));
        var autoencoder = new Autoencoder(torch.randn(64, 16), torch.zeros(16), torch.randn(16, 64), torch.zeros(64));
        var collected = model.Collect(Rows, Sites.BlockOutput(1), Positions.Last(1));
        foreach (var (name, intervention) in new (string, ReftIntervention)[]
        {
            ("zero_out", Interventions.ZeroOut()),
            ("interchange", Interventions.Interchange()),
            ("add_source", Interventions.AddSource()),
            ("subtract_source", Interventions.SubtractSource()),
            ("noise", Interventions.Noise()),
            ("noise(seed=3, level=0.5)", Interventions.Noise(0.5, 3)),
            ("rotated_interchange(rank=4)", Interventions.RotatedInterchange(4)),
            ("boundless_interchange", Interventions.BoundlessInterchange()),
            ("boundless_interchange(rank=8, temperature=2)", Interventions.BoundlessInterchange(8, 2)),
            ("sigmoid_mask", Interventions.SigmoidMask()),
            ("sigmoid_mask(rotated=true)", Interventions.SigmoidMask(rotated: true)),
            ("pca_interchange(components=8, count=2)", Interventions.PcaInterchange(2, basis)),
            ("autoencoder_interchange(size=16, latents=0,3)", Interventions.AutoencoderInterchange(autoencoder, [0, 3])),
            ("jumprelu_interchange(size=16)", Interventions.AutoencoderInterchange(autoencoder with { Threshold = torch.ones(16) })),
            ("(0.5 * interchange + loreft(rank=2))", (0.5 * Interventions.Interchange()) + Interventions.Loreft(2)),
        })
        {
            Check.Equal(name, intervention.ToString(), "the text");
            model.Attach(new ReftSpec().At(Sites.BlockOutput(1), Positions.Last(1), intervention));
            var scores = Scores(model);
            model.SaveAdapter(folder.Path);
            Check.Same(scores, Scores(model.LoadAdapter(folder.Path)), $"scores of {name} after loading");
        }

        float[] Scores(ReftModel model) => [.. model.Score(Rows, 3, [collected]).SelectMany(score => score.LogProbs)];
    }

    private static void OwnReader()
    {
        using var model = ReftModel.Load(TinyLlama.Folder, new ModelOptions { Dtype = ModelDtype.Bf16 });
        var collected = model.Collect(Rows, Sites.BlockOutput(1), Positions.Last(1)).As("other");
        Check.Same(
            Scores(Interventions.AddSource("other")), Scores(Interventions.From(new Adder())), "adding a source by a class of one's own");

        // The model is in bf16: the rows themselves are exact, and h + (s − h) is not.
        Check.Same(
            Scores(Interventions.Interchange("other")), Scores(Interventions.From(new Putter())), "putting a source by a class of one's own");

        float[] Scores(ReftIntervention intervention) =>
            [.. model.Attach(new ReftSpec().At(Sites.BlockOutput(1), Positions.Last(1), intervention))
                .Score(Rows.Reverse(), 3, [collected]).SelectMany(score => score.LogProbs)];
    }

    private static void NothingLeaks()
    {
        using var model = ReftModel.Load(TinyLlama.Folder, new ReftSpec().At(
            Sites.BlockOutput(1), Positions.Last(1), Interventions.From(new Adder()) + Interventions.RotatedInterchange(2, "other")));
        var data = TrainingData.FromExamples(Prompts.Select(ids => TrainingExample.FromCompletion(ids, [20, 21])));
        Use();

        // What other tests left to finalizers must not count; what this one leaves to them must, so they may not run.
        GC.Collect();
        GC.WaitForPendingFinalizers();
        Check.That(GC.TryStartNoGCRegion(200_000_000), "the collector should wait");
        var before = torch.Tensor.TotalCount;
        for (var i = 0; i < 5; i++)
        {
            Use();
        }

        var after = torch.Tensor.TotalCount;
        GC.EndNoGCRegion(); // It throws if the collector ran all the same.
        Check.Equal(before, after, "live tensors");

        void Use()
        {
            var collected = model
                .Collect(data.Rows, Sites.BlockOutput(1, 3), Positions.Last(1), new() { BaseModel = true, Name = "other" })
                .At("layers.1.block_output");
            _ = model.Score(data.Rows, 3, [collected]).ToArray();
            _ = model.GenerateRows(Rows, Short with { Sources = [collected] }).ToArray();
            model.FitAsync(
                data.WithSources(collected),
                new TrainingOptions { Epochs = 1, EvaluationData = data.WithSources(collected) }).GetAwaiter().GetResult();
            ReadingVectors.PrincipalDirection(collected, model.Collect(data.Rows, Sites.BlockOutput(0), Positions.Last(1)));
        }
    }

    private static void Refusals()
    {
        using var model = ReftModel.Load(TinyLlama.Folder);
        var collected = model.Collect(Rows.Take(2), Sites.BlockOutput(1), Positions.Last(1));
        Check.Throws<ArgumentException>(() => model.Collect(Rows, Sites.BlockOutput(4), Positions.All), "layers.4");
        Check.Throws<ArgumentException>(() => model.Collect(Rows.Take(0), Sites.BlockOutput(1), Positions.All), "at least one row");
        Check.Throws<ArgumentException>(
            () => model.Collect(Rows, Sites.BlockOutput(1), Positions.Last(1), new() { Phase = InterventionPhase.Decode }), "last");
        Check.Throws<ArgumentException>(
            () => model.Collect([new DataRow { InputIds = new int[129] }], Sites.BlockOutput(1), Positions.All), "129", "128");
        Check.Throws<InvalidDataException>(
            () => model.Collect([new DataRow { InputIds = [256] }], Sites.BlockOutput(1), Positions.All), "input_ids[0]", "256");
        Check.Throws<InvalidOperationException>(() => model.Generate([1, 2], new GenerationOptions { Sources = [collected] }), "nothing is attached");

        model.Attach(new ReftSpec().At(Sites.BlockOutput(1), Positions.Last(1), Interventions.Interchange()));
        Check.Throws<InvalidOperationException>(() => model.Generate([1, 2]), "'source'", "layers.1.block_output", "no sources");
        Check.Throws<InvalidOperationException>(
            () => model.Generate([1, 2], new GenerationOptions { Sources = [collected.As("other")] }), "'other'");
        Check.Throws<ArgumentException>(() => _ = model.Score(Rows, 2, [collected]).ToArray(), "row 2 has no source", "2 rows");
        Check.Throws<ArgumentException>(
            () => TrainingData.FromRows(Rows).WithSources(collected), "each of the 4 rows", "2 rows");
        Check.Throws<ArgumentException>(() => Interventions.Interchange(""), "name");
        Check.Throws<ArgumentException>(() => Interventions.RotatedInterchange(0), "rank");
        Check.Throws<ArgumentException>(() => Interventions.Named("lorefd"), "'lorefd'", "loreft");
        Check.Throws<ArgumentException>(() => Interventions.Named("loreft", [new("rnk", "4")]), "'rnk'", "rank");
        Check.Equal("loreft(rank=4, activation=relu)", Interventions.Named("loreft", [new("rank", "4"), new("activation", "relu")]).ToString(), "by name");
    }

    private sealed class Putter : IIntervention
    {
        public string Name => "putter";

        public bool ReplacesRows => true;

        public ParameterShapes Parameters(int width) => [];

        public torch.Tensor Change(
            IReadOnlyDictionary<string, torch.Tensor> parameters, InterventionRows rows, torch.Tensor hidden) => rows.Source("other");
    }

    private sealed class Adder : IIntervention
    {
        public string Name => "adder";

        public ParameterShapes Parameters(int width) => [];

        public torch.Tensor Change(
            IReadOnlyDictionary<string, torch.Tensor> parameters, InterventionRows rows, torch.Tensor hidden) => rows.Source("other");
    }
}
