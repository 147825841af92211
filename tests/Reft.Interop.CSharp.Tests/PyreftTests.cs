using Expecto;
using Expecto.CSharp;
using Reft.Tests.Cli;

namespace Reft.Tests;

/// <summary>Adapters of pyreft and of peft, in the facade and on the command line.</summary>
public static class PyreftTests
{
    private static readonly string Saved = RepositoryFiles.At("tests/golden/e_saved/loreft_noshare_module");
    private static readonly string Lora = RepositoryFiles.At("tests/golden/d_e2e/lora_peft/adapter");
    private static readonly int[] Prompt = [1, 30, 60, 90, 7, 11];
    private static readonly PyreftImportOptions F2L2 = new() { Positions = Positions.Parse("f2+l2") };

    /// <summary>The exchange.</summary>
    [Tests]
    public static readonly Test Exchange = Runner.TestList(
        "Adapters of Python's libraries",
        [
            Runner.TestCase("a pyreft adapter is loaded, saved as ours and as pyreft's, and acts the same", RoundTrip),
            Runner.TestCase("import-pyreft and export-pyreft do the same", Commands),
            Runner.TestCase("wrong folders and specs end with 1 and one line, and leave nothing", Errors),
            Runner.TestCase("a LoRA adapter acts merged or not, alone and under ReFT", LoraActs),
            Runner.TestCase("an adapter that was trained on LoRA asks for it", LoraIsPartOfTheBase),
        ]);

    private static float[] Scores(ReftModel model) =>
        [.. model.Score([new DataRow { InputIds = Prompt }]).Single().LogProbs];

    private static void RoundTrip()
    {
        using var folder = TinyLlama.NewFolder();
        using var model = ReftModel.Load(TinyLlama.Folder);
        var bare = Scores(model);
        var edited = Scores(model.LoadPyreftAdapter(Saved, F2L2));
        Check.That(Distance(bare, edited) > 0.01, "expected the adapter to act");
        Check.Equal(2, model.Describe().Placements.Count, "sites");

        model.SaveAdapter(folder.File("ours"));
        model.SavePyreftAdapter(folder.File("theirs"));
        Check.That(Distance(edited, Scores(model.Detach().LoadAdapter(folder.File("ours")))) < 1e-6, "expected our own to act the same");
        Check.That(
            Distance(edited, Scores(model.Detach().LoadPyreftAdapter(folder.File("theirs"), F2L2))) < 1e-4,
            "expected pyreft's to act the same");
    }

    private static void Commands()
    {
        using var folder = TinyLlama.NewFolder();
        var imported = ReftProcess.Run(
            "import-pyreft", Saved, "--model", TinyLlama.Folder, "--positions", "f2+l2", "--output", folder.File("ours"), "--json").Succeeded();
        Check.Equal(2, imported.Json.Single().GetProperty("placements").GetInt32(), "sites");
        ReftProcess.Run("export-pyreft", folder.File("ours"), "--model", TinyLlama.Folder, "--output", folder.File("theirs")).Succeeded();
        Check.Same(
            Directory.GetFiles(Saved, "*.bin").Select(Path.GetFileName).Order(StringComparer.Ordinal),
            Directory.GetFiles(folder.File("theirs"), "*.bin").Select(Path.GetFileName).Order(StringComparer.Ordinal),
            "files");
        using var model = ReftModel.Load(TinyLlama.Folder);
        var direct = Scores(model.LoadPyreftAdapter(Saved, F2L2));
        Check.That(
            Distance(direct, Scores(model.LoadPyreftAdapter(folder.File("theirs"), F2L2))) < 1e-4, "expected the same edits");
    }

    private static void Errors()
    {
        using var folder = TinyLlama.NewFolder();
        var output = folder.File("out");
        Fails(["import-pyreft", TinyLlama.Folder, "--model", TinyLlama.Folder, "--positions", "f1", "--output", output], "key 'representations'");
        Fails(["import-pyreft", Saved, "--model", TinyLlama.Folder, "--positions", "l1", "--output", output], "positions such as f1+l1");
        ReftProcess.Run("import-pyreft", Saved, "--model", TinyLlama.Folder, "--output", output).FailedWith(2, "--positions");

        using var model = ReftModel.Load(
            TinyLlama.Folder, new ReftSpec().At(Sites.BlockOutput(1), Positions.All, Interventions.Loreft(rank: 2)));
        model.SaveAdapter(folder.File("all"));
        Fails(["export-pyreft", folder.File("all"), "--model", TinyLlama.Folder, "--output", output], "pyreft cannot hold this adapter");
        Check.That(!Directory.Exists(output), "expected no folder");

        static void Fails(string[] arguments, string message) => ReftProcess.Run(arguments).FailedWith(1, message);
    }

    private static void LoraActs()
    {
        using var bare = ReftModel.Load(TinyLlama.Folder);
        using var beside = ReftModel.Load(TinyLlama.Folder, new ModelOptions { LoraAdapter = Lora });
        using var merged = ReftModel.Load(TinyLlama.Folder, new ModelOptions { LoraAdapter = Lora, MergeLora = true });
        var found = Scores(beside);
        Check.That(Distance(Scores(bare), found) > 0.01, "expected the adapter to act");
        Check.That(Distance(Scores(merged), found) < 1e-4, "expected merging to change nothing");

        var under = Scores(beside.LoadPyreftAdapter(Saved, F2L2));
        Check.That(Distance(found, under) > 0.01, "expected ReFT to act on it");
        Check.That(Distance(Scores(merged.LoadPyreftAdapter(Saved, F2L2)), under) < 1e-4, "expected the same under ReFT");
    }

    private static void LoraIsPartOfTheBase()
    {
        using var folder = TinyLlama.NewFolder();
        var adapter = folder.File("adapter");
        using (var tuned = ReftModel.Load(TinyLlama.Folder, TinyLlama.Spec, new ModelOptions { LoraAdapter = Lora }))
        {
            tuned.FitAsync(TinyLlama.Data, new TrainingOptions { Epochs = 1 }).GetAwaiter().GetResult();
            tuned.SaveAdapter(adapter);
        }

        var rows = folder.File("rows.jsonl");
        File.WriteAllText(rows, $$"""{"input_ids": [{{string.Join(", ", Prompt)}}]}""");
        string[] score = ["score", "--model", TinyLlama.Folder, "--adapter", adapter, "--input", rows, "--json"];
        ReftProcess.Run(score).FailedWith(1, "another base model");
        ReftProcess.Run([.. score, "--lora", Lora]).Succeeded();
        ReftProcess.Run([.. score, "--lora", Lora, "--merge-lora"]).Succeeded();
    }

    private static double Distance(float[] left, float[] right) =>
        left.Zip(right, (a, b) => Math.Abs((double)a - b)).Max();
}
