using System.Globalization;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json.Nodes;

namespace Reft.Internal;

/// <summary>The runs of a recipe, one for each seed, with what is finished in files.</summary>
internal sealed class RecipeRun(
    Recipe recipe,
    RecipeWork work,
    ReftModel model,
    RecipeRunOptions options,
    IProgress<RecipeProgress>? progress,
    CancellationToken stop)
{
    private const string Adapter = "adapter";
    private const string Checkpoints = "checkpoints";
    private const string Result = "result.json";
    private const string AnotherFolder = "choose another folder for the output";

    public async Task<RecipeResults> RunAsync()
    {
        var seeds = options.Seeds ?? recipe.Seeds;
        CheckMethod(seeds);
        var files = work.FindFiles(options.Data, options.Datasets);
        work.ReadRows(files);
        Directory.CreateDirectory(options.Output);
        Identify(files);
        var results = Earlier();
        foreach (var seed in seeds)
        {
            results[seed] = await SeedAsync(seed, [.. files.Tests.Select(test => test.Key)]).ConfigureAwait(false);
            JsonFiles.Write(Path.Combine(options.Output, "results.json"), Results(results.Values).ToJsonObject());
        }

        return Results(results.Values);
    }

    private RecipeResults Results(IEnumerable<SeedResult> seeds) =>
        new(recipe, model.Config.Folder, work.Datasets, [.. seeds])
        {
            Dtype = model.Config.Dtype,
            MaxTrain = options.MaxTrain,
            MaxEvaluation = options.MaxEvaluation,
        };

    private string FolderOf(long seed) => Path.Combine(options.Output, string.Create(CultureInfo.InvariantCulture, $"seed-{seed}"));

    // Layers that the model has not, or maps of other names, are refused before all rows are read and hashed.
    private void CheckMethod(IReadOnlyList<long> seeds)
    {
        if (seeds is [var seed, ..])
        {
            Attach(seed);
            model.Detach();
        }
    }

    // What earlier runs of the same settings have evaluated, of whichever seeds.
    private SortedDictionary<long, SeedResult> Earlier()
    {
        var found = new SortedDictionary<long, SeedResult>();
        foreach (var folder in Directory.EnumerateDirectories(options.Output, "seed-*"))
        {
            if (SeedRecord.Read(Path.Combine(folder, Result)) is { Datasets.Count: > 0 } result
                && Path.GetFileName(folder) == Path.GetFileName(FolderOf(result.Seed)))
            {
                found[result.Seed] = result;
            }
        }

        return found;
    }

    private async Task<SeedResult> SeedAsync(long seed, string[] datasets)
    {
        var folder = FolderOf(seed);
        var file = Path.Combine(folder, Result);
        var result = SeedRecord.Read(file);
        if (result is not null)
        {
            RemoveCheckpoints(folder);
            // A score whose answers are gone cannot be checked: they are generated again.
            result = result with
            {
                Datasets = [.. result.Datasets.Where(score => File.Exists(Path.Combine(folder, $"{score.Dataset}.json")))],
            };
        }

        if (result is not null && datasets.All(dataset => result.Datasets.Any(score => score.Dataset == dataset)))
        {
            progress?.Report(new RecipeProgress(seed, null, null, 0, 0, IsFromEarlierRun: true));
            return result;
        }

        if (result is null)
        {
            // In this order, so that a run that is killed between the two is not trained again.
            result = await TrainAsync(seed, folder).ConfigureAwait(false);
            JsonFiles.Write(file, SeedRecord.ToJson(result));
            RemoveCheckpoints(folder);
        }
        else
        {
            model.Detach().LoadAdapter(Path.Combine(folder, Adapter));
        }

        foreach (var dataset in datasets.Where(dataset => result.Datasets.All(score => score.Dataset != dataset)))
        {
            var score = work.Evaluate(
                model,
                dataset,
                seed,
                options.MaxEvaluation,
                Path.Combine(folder, $"{dataset}.json"),
                (done, total) => progress?.Report(new RecipeProgress(seed, dataset, null, done, total, false)),
                stop);
            result = result with { Datasets = [.. result.Datasets, score] };
            JsonFiles.Write(file, SeedRecord.ToJson(result));
        }

        return result;
    }

    private static void RemoveCheckpoints(string folder)
    {
        var checkpoints = Path.Combine(folder, Checkpoints);
        if (Directory.Exists(checkpoints))
        {
            Directory.Delete(checkpoints, recursive: true);
        }
    }

    private void Attach(long seed)
    {
        model.Detach();
        if (recipe.Method.ToTuning() is { } tuning)
        {
            model.AttachTuning(tuning, seed);
        }
        else
        {
            model.Attach(recipe.Method.ToSpec(), seed);
        }
    }

    private async Task<SeedResult> TrainAsync(long seed, string folder)
    {
        Attach(seed);
        work.Prepare(model, seed);
        var checkpoints = Path.Combine(folder, Checkpoints);
        var rows = new[] { recipe.Training.MaxExamples, options.MaxTrain }.OfType<int>().Order().Cast<int?>().FirstOrDefault();
        var training = recipe.Training.ToOptions(seed, model.Config.ContextLength) with
        {
            Checkpoints = new TrainingCheckpoints(checkpoints) { Every = options.CheckpointEvery, Keep = 1, Resume = true },
        };
        var trained = await work.TrainAsync(model, training, rows, new Steps(seed, progress), stop).ConfigureAwait(false);
        if (trained.Cancelled)
        {
            throw new OperationCanceledException(
                $"stopped in training with seed {seed}, after step {trained.History.Count}: the same run goes on from there", stop);
        }

        model.SaveAdapter(Path.Combine(folder, Adapter));
        var described = model.Describe();
        return new SeedResult
        {
            Seed = seed,
            TrainableParameters = described.TrainableParameters,
            TrainablePercent = described.TrainablePercent,
            TrainedRows = trained.TrainedRows,
            Steps = trained.History.Count,
            FinalLoss = trained.FinalLoss,
            TrainingSeconds = trained.Duration.TotalSeconds,
            Datasets = [],
        };
    }

    // Results of other settings, another model or other rows are never mixed with those of this run.
    private void Identify(RecipeFileSet files)
    {
        var path = Path.Combine(options.Output, "run.json");
        var found = HasProgress()
            ? JsonFiles.Read(path, AnotherFolder)
                ?? throw new InvalidDataException($"{options.Output} holds results, but no run.json that says of what settings: {AnotherFolder}")
            : null;
        var hashes = found?["files"] as JsonObject ?? [];
        var facts = new JsonObject
        {
            ["recipe"] = recipe.Name,
            ["settings"] = recipe.Settings(),
            ["model"] = model.Config.Fingerprint,
            ["dtype"] = model.Config.Dtype,
            ["max_train"] = options.MaxTrain,
            ["max_evaluation"] = options.MaxEvaluation,
        };
        foreach (var (key, value) in found is null ? [] : facts)
        {
            if (Difference(found![key], value, key) is { } difference)
            {
                throw Other($"{difference}");
            }
        }

        facts["files"] = hashes.DeepClone();
        foreach (var (name, file) in files.Tests.Prepend(KeyValuePair.Create("training", files.Training)))
        {
            var hash = HashOf(file);
            if (hashes[name] is { } before && before.ToString() != hash)
            {
                throw Other($"the file {file} has changed");
            }

            facts["files"]![name] = hash;
        }

        JsonFiles.Write(path, facts);

        InvalidDataException Other(string difference) =>
            new($"{options.Output} holds a run of other settings: {difference}: {AnotherFolder}");
    }

    // A run that was refused before its first step leaves nothing that another could be mixed with.
    private bool HasProgress() =>
        Directory.Exists(options.Output)
        && Directory.EnumerateDirectories(options.Output, "seed-*").Any(seed =>
            Directory.EnumerateFiles(seed, "*", SearchOption.AllDirectories).Any());

    // The first setting that differs.
    private static string? Difference(JsonNode? before, JsonNode? now, string key) =>
        JsonNode.DeepEquals(before, now) ? null
        : before is JsonObject first && now is JsonObject second
            ? first.Select(pair => pair.Key).Union(second.Select(pair => pair.Key))
                .Select(name => Difference(first[name], second[name], $"{key}.{name}")).First(difference => difference is not null)
            : $"'{key}' was {before?.ToJsonString() ?? "not given"} and is {now?.ToJsonString() ?? "not given"}";

    // Of a folder, that of its files.
    private static string HashOf(string path)
    {
        if (Directory.Exists(path))
        {
            var parts = Directory.GetFiles(path).Order(StringComparer.Ordinal).Select(file => $"{Path.GetFileName(file)} {HashOf(file)}");
            return Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(string.Join('\n', parts))));
        }

        using var file = File.OpenRead(path);
        return Convert.ToHexStringLower(SHA256.HashData(file));
    }

    private sealed class Steps(long seed, IProgress<RecipeProgress>? progress) : IProgress<TrainingProgress>
    {
        public void Report(TrainingProgress value) =>
            progress?.Report(new RecipeProgress(seed, null, value, value.Step, value.TotalSteps, false));
    }
}
