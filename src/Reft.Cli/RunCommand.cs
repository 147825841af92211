using System.CommandLine;
using System.CommandLine.Parsing;
using System.Text.Json;

namespace Reft.Cli;

/// <summary><c>reft run</c>: an experiment of the paper, from its recipe to a table beside the paper's figures.</summary>
internal static class RunCommand
{
    private static readonly Argument<string?> RecipeArgument = new("RECIPE")
    {
        Description = "A recipe: its name, as `reft run --list` shows them, or the path of a JSON file.",
        Arity = ArgumentArity.ZeroOrOne,
    };

    private static readonly Option<string?> Variant = Values.Text(
        "--variant", "NAME", "Which of the variants of a recipe's file; without it a file with several is refused, and they are listed.");

    private static readonly Option<bool> List = Values.Flag("--list", "Show the recipes, one a line, and do nothing else.");
    private static readonly ModelChoice Model = new(required: false);
    private static readonly Option<string?> Data = Values.Text(
        "--data", "DIR", "The folder of the data, laid out as their projects have it; what is missing is listed.");

    private static readonly Option<string?> Output = Values.Text(
        "--output", "DIR", "Where adapters, answers and results go, runs/RECIPE where it is not given. What is finished there is not run again.");

    private static readonly Option<string?> Seeds = Values.Text("--seeds", "N,N,…", "The seeds, in place of the recipe's.");
    private static readonly Option<string?> Datasets = Values.Text(
        "--datasets", "NAME,NAME,…", "The data sets to evaluate; all of the task where it is not given.");

    private static readonly Option<int?> MaxTrain = Values.Optional(
        "--max-train", "N", "So many rows at most, drawn by the seed, are trained on.", Values.IntegerFrom(1));

    private static readonly Option<int?> MaxEvaluation = Values.Optional(
        "--max-eval", "N", "So many rows of each data set at most, drawn by the seed, are evaluated.", Values.IntegerFrom(1));

    private static readonly Option<string[]> Set = Values.Pairs(
        "--set", "KEY=VALUE", "Another value for a key of the recipe, e.g. training.epochs=3; may be given several times.");

    private static readonly Option<bool> DryRun = Values.Flag(
        "--dry-run", "Show the recipe with what is set, and the files it reads; train nothing.");

    private static readonly Option<bool> Json = CommonOptions.Json("the results, the list or the recipe");

    public static Command Create()
    {
        var command = CommonOptions.Command(
            "run",
            "Run an experiment of the ReFT paper: train by its recipe, evaluate its data sets, and compare with its figures.",
            [List, Variant, .. Model.Which, Data, Output, Seeds, Datasets, MaxTrain, MaxEvaluation, Set, DryRun, .. Model.How, Json]);
        command.Add(RecipeArgument);
        command.Validators.Add(Check);
        command.SetAction(RunAsync);
        return command;
    }

    private static void Check(CommandResult result)
    {
        if (result.GetValue(List))
        {
            return;
        }

        if (result.GetValue(RecipeArgument) is null)
        {
            result.AddError("Expected a RECIPE, or --list.");
        }
        else if (!result.GetValue(DryRun) && (result.GetValue<string?>("--model") is null || result.GetValue(Data) is null))
        {
            result.AddError("Expected --model and --data, or --dry-run.");
        }
    }

    private static async Task<int> RunAsync(ParseResult parsed)
    {
        using var output = new StandardOutput();
        using var signals = new StopSignals();
        if (parsed.GetValue(List))
        {
            ShowList(output, parsed.GetValue(Json));
            return ExitCode.Success;
        }

        var recipe = Chosen(parsed);
        var options = new RecipeRunOptions
        {
            Data = parsed.GetValue(Data) ?? "",
            Output = parsed.GetValue(Output) ?? Path.Combine("runs", recipe.Name),
            Seeds = parsed.GetValue(Seeds) is { } seeds ? [.. seeds.Split(',', StringSplitOptions.TrimEntries).Select(Values.Seed).Distinct()] : null,
            Datasets = parsed.GetValue(Datasets)?.Split(',', StringSplitOptions.TrimEntries),
            MaxTrain = parsed.GetValue(MaxTrain),
            MaxEvaluation = parsed.GetValue(MaxEvaluation),
        };
        if (parsed.GetValue(DryRun))
        {
            RunPlan.Show(output, recipe, options, Model.Name(parsed), parsed.GetValue(Json));
            return ExitCode.Success;
        }

        recipe.CheckFiles(options);
        OutputFolder.Prepare(options.Output);
        try
        {
            using var model = await LoadAsync(parsed, recipe, signals.Token).ConfigureAwait(false);
            Terminal.Say($"{recipe.Name}: {recipe.Title}, on {model.Config.Folder}");
            var results = await recipe
                .RunAsync(model, options, new RunDisplay(), signals.Token)
                .ConfigureAwait(false);
            Terminal.Say($"results, answers and adapters are in {options.Output}");
            if (parsed.GetValue(Json))
            {
                using var document = JsonDocument.Parse(results.ToJson());
                output.JsonLine(json => WriteAll(json, document.RootElement));
            }
            else
            {
                output.Text(results.ToTable());
            }

            return ExitCode.Success;
        }
        catch (OperationCanceledException) when (signals.Token.IsCancellationRequested)
        {
            return Failure.Say($"stopped: what is finished is kept in {options.Output}, and the same command goes on from there", signals.RequestedExit);
        }
    }

    private static Recipe Chosen(ParseResult parsed)
    {
        var name = parsed.GetRequiredValue(RecipeArgument)!;
        var variant = parsed.GetValue(Variant);
        var recipe = File.Exists(name) ? OfFile(name, variant)
            : variant is null ? Recipe.Named(name)
            : throw new ArgumentException($"--variant chooses from a file, and there is no file {name}: a recipe of the library has one name, see `reft run --list`");
        var settings = (parsed.GetValue(Set) ?? []).Select(Values.Pair).ToArray();
        return settings is [] ? recipe : recipe.With(settings);
    }

    private static Recipe OfFile(string path, string? variant)
    {
        var recipes = Recipe.LoadAll(path);
        var file = Path.GetFileNameWithoutExtension(path);
        if (recipes is [var only] && variant is null)
        {
            return only;
        }

        if (recipes is [{ } single] && single.Name == file)
        {
            throw new ArgumentException($"{path}: it holds one recipe and no variants: leave out --variant");
        }

        var names = recipes.Select(recipe => recipe.Name[(file.Length + 1)..]).ToArray();
        return Array.IndexOf(names, variant) is >= 0 and var chosen
            ? recipes[chosen]
            : throw new ArgumentException(
                $"{path}: {(variant is null ? "it holds several recipes" : $"there is no variant '{variant}'")}: choose one with --variant: {string.Join(", ", names)}");
    }

    private static async Task<ReftModel> LoadAsync(ParseResult parsed, Recipe recipe, CancellationToken stop)
    {
        var folder = await Model.FolderAsync(parsed, stop).ConfigureAwait(false);
        var options = Model.Options(parsed);
        return ReftModel.Load(folder, Model.HasDtype(parsed) ? options : options with { Dtype = recipe.Dtype });
    }

    private static void ShowList(StandardOutput output, bool json)
    {
        var width = Recipe.All.Max(recipe => recipe.Name.Length);
        foreach (var recipe in Recipe.All)
        {
            if (json)
            {
                output.JsonLine(line =>
                {
                    line.WriteString("name", recipe.Name);
                    line.WriteString("title", recipe.Title);
                    line.WriteString("task", recipe.Task);
                    line.WriteTexts("unknown", recipe.Unknown.Keys);
                });
            }
            else
            {
                var incomplete = recipe.Unknown.Count == 0 ? "" : $" (not known: {recipe.Unknown.Count} settings)";
                output.Line($"{recipe.Name.PadRight(width)}  {recipe.Title}{incomplete}");
            }
        }
    }

    private static void WriteAll(Utf8JsonWriter json, JsonElement found)
    {
        foreach (var property in found.EnumerateObject())
        {
            property.WriteTo(json);
        }
    }
}
