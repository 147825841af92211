using System.Globalization;
using System.Text;
using System.Text.Json.Nodes;
using Reft.Internal;

namespace Reft;

/// <summary>How one data set was answered after one run.</summary>
/// <param name="Dataset">Its name.</param>
/// <param name="Rows">The rows that were evaluated.</param>
/// <param name="Score">The score in per cent, higher is better; null where a judge decides.</param>
/// <param name="Metric">What the score is, e.g. <c>accuracy</c>; <see cref="Judged"/> where a judge decides.</param>
/// <param name="CutPrompts">Prompts, or rows of a classification, that were cut to the recipe's longest row, or to the model's context.</param>
public sealed record DatasetScore(string Dataset, int Rows, double? Score, string Metric, int CutPrompts)
{
    /// <summary>The metric of answers that are written for a judge.</summary>
    public const string Judged = "judged";

    /// <summary>The lower end of the score's interval of 95 %, by drawing its rows again; null where there is none.</summary>
    public double? Low { get; init; }

    /// <summary>The upper end.</summary>
    public double? High { get; init; }
}

/// <summary>What one seed gave.</summary>
public sealed record SeedResult
{
    /// <summary>The seed.</summary>
    public required long Seed { get; init; }

    /// <summary>The trainable numbers, a classification head apart.</summary>
    public required long TrainableParameters { get; init; }

    /// <summary>The same per hundred weights of the model.</summary>
    public required double TrainablePercent { get; init; }

    /// <summary>Rows that were trained on.</summary>
    public required int TrainedRows { get; init; }

    /// <summary>The steps that were taken.</summary>
    public required int Steps { get; init; }

    /// <summary>The loss of the last step.</summary>
    public required double? FinalLoss { get; init; }

    /// <summary>How long training took, in seconds; of a run that went on, its last part.</summary>
    public required double TrainingSeconds { get; init; }

    /// <summary>The data sets that were evaluated.</summary>
    public required IReadOnlyList<DatasetScore> Datasets { get; init; }
}

/// <summary>What the runs of a recipe gave, against what the paper reports.</summary>
/// <param name="Recipe">The recipe, with what was set.</param>
/// <param name="Model">The folder of the model.</param>
/// <param name="Datasets">The data sets of its task, run or not.</param>
/// <param name="Seeds">What each seed gave.</param>
public sealed record RecipeResults(
    Recipe Recipe, string Model, IReadOnlyList<string> Datasets, IReadOnlyList<SeedResult> Seeds)
{
    private const string NotRun = "not run";

    /// <summary>The dtype that the model computed in, whatever the recipe says.</summary>
    public string? Dtype { get; init; }

    /// <summary>The most rows that were trained on; null where it was left to the recipe.</summary>
    public int? MaxTrain { get; init; }

    /// <summary>The most rows of each data set that were evaluated; null is all, and only then do scores compare with the paper's.</summary>
    public int? MaxEvaluation { get; init; }

    /// <summary>The mean score of a data set over the seeds that ran it, in per cent; null where none did, or a judge decides.</summary>
    public double? Mean(string dataset) => Statistics(dataset)?.Mean;

    /// <summary>The standard deviation over the seeds, with n − 1 below; null of fewer than two.</summary>
    public double? Deviation(string dataset) => Statistics(dataset)?.Deviation;

    /// <summary>Mean, deviation and interval over the seeds that ran a data set; null where none did, or a judge decides.</summary>
    public SeedStatistics? Statistics(string dataset) => ScoresOf(dataset) is { Length: > 0 } scores ? SeedStatistics.Of(scores) : null;

    /// <summary>The mean over all data sets of the task; null where one of them was not run.</summary>
    public double? Average() =>
        Datasets.Count > 0 && Datasets.All(dataset => Mean(dataset) is not null) ? Datasets.Average(dataset => Mean(dataset)!.Value) : null;

    /// <summary>The scores beside the paper's: what was not run says so.</summary>
    public string ToTable()
    {
        var lines = new List<string[]> { (string[])["data set", "rows", "seeds", "score", "paper"] };
        lines.AddRange(Datasets.Select(dataset => (string[])
        [
            dataset,
            RowsOf(dataset) is { } rows ? rows.ToString(CultureInfo.InvariantCulture) : "",
            RanOf(dataset).Count().ToString(CultureInfo.InvariantCulture),
            !RanOf(dataset).Any() ? NotRun
                : Mean(dataset) is { } mean ? Shown(mean, Deviation(dataset))
                : RanOf(dataset).All(score => score.Metric == DatasetScore.Judged) ? "written"
                : "undefined",
            Recipe.Paper?.Scores.TryGetValue(dataset, out var paper) == true ? Number(paper) : "–",
        ]));
        if (Datasets.Count > 1)
        {
            lines.Add(
                ["average", "", "", Average() is { } average ? Number(average) : NotRun, Recipe.Paper?.Average is { } reported ? Number(reported) : "–"]);
        }

        if (Seeds is [var first, ..])
        {
            lines.Add(
            [
                "trainable %", "", "", first.TrainablePercent.ToString("0.####", CultureInfo.InvariantCulture),
                Recipe.Paper?.ParametersPercent?.ToString("0.####", CultureInfo.InvariantCulture) ?? "–",
            ]);
        }

        var widths = Enumerable.Range(0, lines[0].Length).Select(column => lines.Max(line => line[column].Length)).ToArray();
        var table = new StringBuilder();
        foreach (var line in lines)
        {
            table.AppendJoin("  ", line.Select((cell, i) => i == 0 ? cell.PadRight(widths[i]) : cell.PadLeft(widths[i])));
            table.Append('\n');
        }

        return table.ToString();
    }

    /// <summary>All of it as JSON: settings, each seed's scores, means beside the paper's figures; null is what was not run.</summary>
    public string ToJson() => ToJsonObject().ToJsonString(RecipeFiles.Indented);

    internal JsonObject ToJsonObject() =>
        new()
        {
            ["recipe"] = Recipe.Name,
            ["settings"] = JsonNode.Parse(Recipe.ToJson()),
            ["model"] = Model,
            ["dtype"] = Dtype,
            ["max_train"] = MaxTrain,
            ["max_eval"] = MaxEvaluation,
            ["seeds"] = new JsonArray([.. Seeds.Select(SeedRecord.ToJson)]),
            ["datasets"] = new JsonArray([.. Datasets.Select(dataset => new JsonObject
            {
                ["name"] = dataset,
                ["runs"] = RanOf(dataset).Count(),
                ["mean"] = Mean(dataset),
                ["deviation"] = Deviation(dataset),
                ["low"] = Statistics(dataset)?.Interval?.Low,
                ["high"] = Statistics(dataset)?.Interval?.High,
                ["paper"] = Recipe.Paper?.Scores.TryGetValue(dataset, out var paper) == true ? paper : null,
            })]),
            ["average"] = Average(),
            ["paper_average"] = Recipe.Paper?.Average,
        };

    private static string Number(double score) => score.ToString("0.0", CultureInfo.InvariantCulture);

    private static string Shown(double mean, double? deviation) => deviation is { } sd ? $"{Number(mean)} ± {Number(sd)}" : Number(mean);

    private IEnumerable<DatasetScore> RanOf(string dataset) =>
        Seeds.SelectMany(seed => seed.Datasets).Where(score => score.Dataset == dataset);

    private double[] ScoresOf(string dataset) => [.. RanOf(dataset).Select(score => score.Score).OfType<double>()];

    private int? RowsOf(string dataset) => RanOf(dataset).FirstOrDefault()?.Rows;
}
