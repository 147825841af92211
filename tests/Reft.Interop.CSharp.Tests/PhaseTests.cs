using Expecto;
using Expecto.CSharp;

namespace Reft.Tests;

/// <summary>Phases with windows, and positions that are functions of the row.</summary>
public static class PhaseTests
{
    /// <summary>Phases and functions of positions.</summary>
    [Tests]
    public static readonly Test Phases = Runner.TestList(
        "Phases and functions of positions",
        [
            Runner.TestCase("a phase is a value, with or without a window", Values),
            Runner.TestCase("a window edits exactly its decode steps, in one pass and step by step", Windows),
            Runner.TestCase("a function of the row chooses tokens, is saved by name and needs the registry", Functions),
            Runner.TestCase("the token after an occurrence", AfterToken),
            Runner.TestCase("pyreft's positions are offered with their leftover slots", Pyreft),
            Runner.TestCase("subspaces reach training, scoring and generation, row by row", Subspaces),
        ]);

    private static void Values()
    {
        Check.Equal(InterventionPhase.DecodeSteps(2, 5), InterventionPhase.DecodeSteps(2, 5), "equal windows");
        Check.That(InterventionPhase.DecodeSteps(2, 5) != InterventionPhase.DecodeSteps(2, 6), "other windows should differ");
        Check.That(InterventionPhase.Prompt != InterventionPhase.Decode, "phases should differ");
        Check.Same(
            ["Prompt", "Decode", "Always", "DecodeSteps(2, 5)"],
            new[] { InterventionPhase.Prompt, InterventionPhase.Decode, InterventionPhase.Always, InterventionPhase.DecodeSteps(2, 5) }
                .Select(phase => phase.ToString()),
            "texts");
        Check.Equal(
            (2, 5, null), (InterventionPhase.DecodeSteps(2, 5).DecodeStart, InterventionPhase.DecodeSteps(2, 5).DecodeCount, InterventionPhase.Decode.DecodeStart), "the window");
        Check.Throws<ArgumentException>(() => InterventionPhase.DecodeSteps(-1, 5), "start", "-1");
        Check.Throws<ArgumentException>(() => InterventionPhase.DecodeSteps(0, 0), "count", "found 0");
        Check.Equal(
            "loreft(rank=2) at block_output of layers 1, positions all, DecodeSteps(2, 5) phase",
            new ReftSpec().At(Sites.BlockOutput(1), Positions.All, Interventions.Loreft(2), InterventionPhase.DecodeSteps(2, 5)).ToString(),
            "a spec");
    }

    private static void Windows()
    {
        using var folder = TinyLlama.NewFolder();
        using var model = ReftModel.Load(TinyLlama.Folder, new ModelOptions { Dtype = ModelDtype.Fp32 });
        var prompt = new[] { 1, 5, 6, 7 };
        var options = new GenerationOptions { MaxNewTokens = 8, IgnoreEos = true };
        var plain = model.Generate(prompt, options).TokenIds;

        // Zeroing the last block's output changes what is said next, and nothing before it.
        model.Attach(new ReftSpec().At(
            Sites.BlockOutput(3), Positions.All, Interventions.ZeroOut(), InterventionPhase.DecodeSteps(2, 2)));
        var edited = model.Generate(prompt, options).TokenIds;
        Check.Same(plain.Take(3), edited.Take(3), "tokens before the window: the step of token 2 chooses token 3");
        Check.That(edited[3] != plain[3], "the window should change the token after it");
        model.SaveAdapter(folder.Path);

        // A row of the same tokens, in one pass: the log-probabilities say the same as the steps.
        var row = new DataRow { InputIds = [.. prompt, .. edited], PromptLength = prompt.Length };
        var bare = model.Collect([row], Sites.BlockOutput(3), Positions.All, new() { Phase = InterventionPhase.Decode, BaseModel = true });
        var touched = model.Collect([row], Sites.BlockOutput(3), Positions.All, new() { Phase = InterventionPhase.Decode });
        Check.Same(
            [false, false, true, true, false, false, false, false],
            bare.Zip(touched, (a, b) => !a.Values.Span.SequenceEqual(b.Values.Span)),
            "edited tokens after the prompt");

        var info = AdapterInfo.Read(folder.Path).Placements.Single();
        Check.Equal(InterventionPhase.DecodeSteps(2, 2), info.Phase, "the phase of the folder");
        Check.Equal(model.Describe().Placements.Single(), info, "the description");
        Check.Same(edited, model.Detach().LoadAdapter(folder.Path).Generate(prompt, options).TokenIds, "tokens after loading");
        Check.Throws<ArgumentException>(
            () => model.Attach(new ReftSpec().At(
                Sites.BlockOutput(1), Positions.Last(1), Interventions.Loreft(2), InterventionPhase.DecodeSteps(0, 3))),
            "last");
    }

    private static void Functions()
    {
        using var folder = TinyLlama.NewFolder();
        var rows = new List<PositionRow>();
        var largest = Positions.FromFunc("largest", row =>
        {
            rows.Add(row);
            return [row.TokenIds.Index().MaxBy(token => token.Item).Index];
        });
        Check.Equal("f1+fn:largest", (Positions.First(1) + largest).ToString(), "the text");
        Check.Equal(Positions.First(1) + largest, Positions.Parse("f1+fn:largest", new InterventionRegistry { largest }), "read again");
        Check.Throws<ArgumentException>(() => Positions.Parse("fn:largest"), "fn:largest", "registered");
        Check.Throws<ArgumentException>(() => Positions.Parse("fn:other", new InterventionRegistry { largest }), "'other'", "largest");
        Check.Throws<ArgumentException>(() => Positions.FromFunc("No Name", _ => []), "No Name", "lower-case");

        using var model = ReftModel.Load(TinyLlama.Folder);
        var found = model.Collect(
            [new DataRow { InputIds = [1, 9, 5], PromptLength = 3 }, new DataRow { InputIds = [1, 4, 3, 7, 200], PromptLength = 4 }],
            Sites.BlockOutput(1), largest);
        Check.Same([(0, 1), (1, 3)], found.Select(a => (a.Row, a.Token)), "chosen tokens");
        Check.Same([1, 9, 5], rows[0].TokenIds, "what the function sees");
        Check.Equal((4, 4), (rows[^1].TokenIds.Count, rows[^1].PromptLength), "of a row with a completion it sees the prompt");

        model.Attach(new ReftSpec().At(Sites.BlockOutput(1), largest, Interventions.Loreft(2)));
        model.FitAsync(TinyLlama.Data, new TrainingOptions { Epochs = 2, LearningRate = 1e-2 }).GetAwaiter().GetResult();
        var loss = model.Evaluate(TinyLlama.Data);
        model.SaveAdapter(folder.Path);
        Check.Equal("fn:largest", AdapterInfo.Read(folder.Path).Placements.Single().Positions, "inspected without a registry");
        using var fresh = ReftModel.Load(TinyLlama.Folder);
        Check.Throws<InvalidDataException>(() => fresh.LoadAdapter(folder.Path), "'largest'", "not registered");
        Check.Equal(loss, fresh.LoadAdapter(folder.Path, new InterventionRegistry { largest }).Evaluate(TinyLlama.Data), "the loss after loading");

        // Beyond the prompt it is asked at each token: step by step agrees with one pass.
        var even = Positions.FromFunc("even", row => row.TokenIds.Index().Where(token => token.Item % 2 == 0).Select(token => token.Index));
        model.Attach(new ReftSpec().At(Sites.BlockOutput(2), even, Interventions.ZeroOut(), InterventionPhase.Always));
        var said = model.Generate([1, 8, 5], new GenerationOptions { MaxNewTokens = 6, IgnoreEos = true }).TokenIds;
        var whole = new DataRow { InputIds = [1, 8, 5, .. said], PromptLength = 3 };
        var edited = model.Collect([whole], Sites.BlockOutput(2), Positions.All, new() { Phase = InterventionPhase.Always });
        Check.Same(
            whole.InputIds!.Select(id => id % 2 == 0), edited.Select(a => a.Values.ToArray().All(value => value == 0)), "zeroed tokens");
        var best = whole.InputIds!.Index().Skip(3).Select(token => Best(whole.InputIds!.Take(token.Index)));
        Check.Same(said, best, "each token, from a whole pass over those before it");

        int Best(IEnumerable<int> before) =>
            Enumerable.Range(0, 256).MaxBy(id => model.Score(
                [new DataRow { InputIds = [.. before, id], PromptLength = 3 }]).Single().LogProbs[^1]);
    }

    private static void AfterToken()
    {
        using var model = ReftModel.Load(TinyLlama.Folder);
        var rows = new[] { new[] { 1, 7, 5, 7, 9, 7, 3 }, [1, 7, 5], [1, 5, 7, 2, 7] }.Select(ids => new DataRow { InputIds = ids });
        Check.Same(
            [(0, 4)],
            model.Collect(rows, Sites.BlockOutput(1), Positions.AfterToken("after-second", 7, 2)).Select(a => (a.Row, a.Token)),
            "after the second, where something follows it");
        Check.Same(
            [(0, 2), (1, 2), (2, 3)],
            model.Collect(rows, Sites.BlockOutput(1), Positions.AfterToken("after-first", 7)).Select(a => (a.Row, a.Token)),
            "after the first");
        Check.Throws<ArgumentException>(() => Positions.AfterToken("never", 7, 0), "1 or more", "0");

        // Where no row has it, nothing is collected and nothing edited.
        var none = Positions.AfterToken("after-none", 200);
        var nothing = model.Collect(rows, Sites.BlockOutput(1), none);
        Check.Equal((0, 3), (nothing.Count, nothing.RowCount), "counts");
        var bare = model.Score(rows).SelectMany(score => score.LogProbs).ToArray();
        model.Attach(new ReftSpec().At(Sites.BlockOutput(1), none, Interventions.Interchange()));
        Check.Same(bare, model.Score(rows, sources: [nothing]).SelectMany(score => score.LogProbs), "scores");
    }

    private static void Pyreft()
    {
        Check.Equal("pyreft:f3:l2", Positions.Pyreft(3, 2).ToString(), "the text");
        Check.Equal("pyreft-next:f3:l2", Positions.Pyreft(3, 2, LeftoverSlots.NextToken).ToString(), "the text");
        Check.Equal(Positions.Pyreft(3, 2), Positions.Parse("pyreft:f3:l2"), "read again");
        Check.Throws<ArgumentException>(() => Positions.Pyreft(0, 0), "not both 0");
        Check.Throws<ArgumentException>(() => Positions.Pyreft(-1, 2), "-1");
        Check.Throws<ArgumentException>(() => _ = Positions.Pyreft(1, 1) + Positions.First(1), "united");
        using var model = ReftModel.Load(TinyLlama.Folder);
        var found = model.Collect([new DataRow { InputIds = [1, 2, 3, 4, 5] }], Sites.BlockOutput(1), Positions.Pyreft(3, 1));
        Check.Same([0, 1, 4], found.Select(a => a.Token).Order(), "half of the prompt at most on either side");
    }

    private static void Subspaces()
    {
        using var model = ReftModel.Load(TinyLlama.Folder);
        var row = new DataRow { InputIds = [1, 2, 3], Subspaces = [1] };
        using var parts = ReftModel.Load(
            TinyLlama.Folder,
            new ReftSpec().At(Sites.BlockOutput(1), Positions.All, 100 * Interventions.PartitionedLoreft(4, "0-1;2-3")));
        DataRow[] rows = [row with { Subspaces = [0] }, row, row with { Subspaces = null }];
        var options = new GenerationOptions { MaxNewTokens = 8, IgnoreEos = true };
        string Said(IEnumerable<DataRow> asked) =>
            string.Join(';', parts.GenerateRows(asked, options).Select(result => string.Join(',', result.TokenIds)));
        Check.Equal(string.Join(';', rows.Select(one => Said([one]))), Said(rows), "each row has its own subspaces in a batch");
        Check.That(Said([rows[0]]) != Said([rows[1]]), "two subspaces say different things");
        Check.Throws<InvalidDataException>(() => _ = model.Score([row with { Subspaces = [-1] }]).ToArray(), "subspaces[0]", "-1");
        Check.Equal(2, model.Score([row]).Single().LogProbs.Count, "a scored row");
    }
}
