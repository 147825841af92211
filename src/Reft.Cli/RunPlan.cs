using System.Text.Json;

namespace Reft.Cli;

/// <summary>What <c>reft run --dry-run</c> shows.</summary>
internal static class RunPlan
{
    public static void Show(StandardOutput output, Recipe recipe, RecipeRunOptions options, string? model, bool json)
    {
        var (files, missing) = options.Data.Length > 0 ? Files(recipe, options) : (null, null);
        if (json)
        {
            using var settings = JsonDocument.Parse(recipe.ToJson());
            output.JsonLine(line =>
            {
                line.WriteString("recipe", recipe.Name);
                line.WritePropertyName("settings");
                settings.RootElement.WriteTo(line);
                line.WriteTexts("unknown", recipe.Unknown.Keys);
                line.WriteTexts("datasets", options.Datasets ?? recipe.Datasets);
                line.WriteTexts("files", files is null ? [] : files.Tests.Select(test => test.Value).Prepend(files.Training));
                line.WriteString("missing", missing);
            });
            return;
        }

        output.Line($"{recipe.Name}: {recipe.Title}");
        output.Line(recipe.ToJson());
        foreach (var (key, why) in recipe.Unknown)
        {
            output.Line($"not known  {key}: {why}");
        }

        output.Line($"model      {model ?? $"none given; the paper's is {recipe.BaseModel}"}");
        output.Line($"seeds      {string.Join(", ", options.Seeds ?? recipe.Seeds)}");
        output.Line($"data sets  {string.Join(", ", options.Datasets ?? recipe.Datasets)}");
        output.Line($"output     {options.Output}");
        foreach (var file in files?.Tests.Select(test => test.Value).Prepend(files.Training) ?? [])
        {
            output.Line($"reads      {file}");
        }

        if (missing is not null)
        {
            output.Line($"missing    {missing}");
        }
    }

    private static (RecipeFileSet? Files, string? Missing) Files(Recipe recipe, RecipeRunOptions options)
    {
        try
        {
            return (recipe.FindFiles(options.Data, options.Datasets), null);
        }
        catch (FileNotFoundException e)
        {
            return (null, e.Message);
        }
    }
}
