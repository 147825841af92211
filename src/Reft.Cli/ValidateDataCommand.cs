using System.CommandLine;
using System.Globalization;

namespace Reft.Cli;

/// <summary><c>reft validate-data</c>: what a file of rows holds, and all that is wrong with it.</summary>
internal static class ValidateDataCommand
{
    private static readonly Argument<string> File = new("FILE")
    {
        Description = "The rows: JSON Lines, JSON, CSV, TSV or Parquet.",
    };

    private static readonly Option<string?> Model = Values.Text(
        "--model", "DIR|ORG/NAME", "The model that is to read them, for its tokenizer and context; without it only the form of rows is checked.");

    private static readonly HubChoice Hub = new();
    private static readonly Option<string?> Task = TaskOption();

    private static readonly Option<string?> Labels = Values.Text(
        "--labels", "A,B,C", "The labels that rows may have; any where they are not given.");

    private static readonly Option<int?> MaxLength = Values.Optional(
        "--max-length", "N", "Rows that are longer count as cut; the model's context where it is not given.", Values.IntegerFrom(2));

    private static readonly Option<int> Limit = Values.Option(
        "--limit", "N", "How many bad rows are shown; all are counted.", 100, Values.IntegerFrom(0));

    private static readonly Option<bool> Json = CommonOptions.Json("the report");

    public static Command Create()
    {
        var command = CommonOptions.Command(
            "validate-data",
            "Read all rows of a file, and tell of every bad one; exit code 1 if there is any.",
            [Model, .. Hub.Options, Task, Labels, MaxLength, Limit, .. RowOptions.WithoutStream, Json]);
        command.Add(File);
        command.SetAction(RunAsync);
        return command;
    }

    private static async Task<int> RunAsync(ParseResult parsed)
    {
        using var output = new StandardOutput();
        var options = RowOptions.Read(parsed);
        var folder = parsed.GetValue(Model) is { } model ? await Hub.FolderAsync(parsed, model).ConfigureAwait(false) : null;
        var report = DataValidation.Check(parsed.GetRequiredValue(File), options, new ValidationOptions
        {
            Use = parsed.GetValue(Task) switch
            {
                "generate" => RowUse.Generate,
                "score" => RowUse.Score,
                _ => RowUse.Train,
            },
            Problem = TaskOptions.ProblemOf(parsed.GetValue(Task)),
            Labels = parsed.GetValue(Labels)?.Split(',', StringSplitOptions.TrimEntries),
            ModelFolder = folder,
            MaxLength = parsed.GetValue(MaxLength),
            ProblemLimit = parsed.GetValue(Limit),
        });
        if (parsed.GetValue(Json))
        {
            output.JsonLine(json => Write(json, report));
        }
        else
        {
            output.Text(Shown(report));
        }

        return report.IsGood ? ExitCode.Success : ExitCode.Failure;
    }

    private static string Shown(DataReport report)
    {
        FormattableString[] lines =
        [
            .. report.Problems.Select(problem => (FormattableString)$"{Terminal.Clipped(problem.Message)}"),
            .. report.BadRows > report.Problems.Count ? (FormattableString[])[$"… and more"] : [],
            $"rows            {report.Rows}{(report.IsComplete ? "" : ", and the rest cannot be read")}",
            $"bad rows        {report.BadRows}",
            .. report.Tokens is { } tokens ? (FormattableString[])[$"tokens          {tokens}"] : [],
            .. report.ScoredTokens is { } scored ? (FormattableString[])[$"scored tokens   {scored}"] : [],
            .. report.Lengths is { } lengths
                ? (FormattableString[])[$"lengths         {lengths.Shortest} … {lengths.Longest}, median {lengths.Median}, 90 % up to {lengths.NinetyPercent}, 99 % up to {lengths.NinetyNinePercent}"]
                : [],
            .. report.TruncatedRows is { } cut ? (FormattableString[])[$"truncated rows  {cut}"] : [],
            .. report.UnscoredRows is { } unscored ? (FormattableString[])[$"unscored rows   {unscored}"] : [],
            .. report.Labels.OrderBy(label => label.Key, StringComparer.Ordinal).Take(100)
                .Select(label => (FormattableString)$"label           {Terminal.Clipped(label.Key)}: {label.Value}"),
        ];
        return string.Concat(lines.Select(line => line.ToString(CultureInfo.InvariantCulture) + "\n"));
    }

    private static void Write(System.Text.Json.Utf8JsonWriter json, DataReport report)
    {
        json.WriteNumber("rows", report.Rows);
        json.WriteNumber("bad_rows", report.BadRows);
        json.WriteBoolean("complete", report.IsComplete);
        json.WriteStartArray("problems");
        foreach (var problem in report.Problems)
        {
            json.WriteStartObject();
            json.WriteNumber("row", problem.Row);
            json.WriteString("field", problem.Field);
            json.WriteString("message", problem.Message);
            json.WriteEndObject();
        }

        json.WriteEndArray();
        json.WriteNumberOrNull("tokens", report.Tokens);
        json.WriteNumberOrNull("scored_tokens", report.ScoredTokens);
        json.WriteNumberOrNull("truncated_rows", report.TruncatedRows);
        json.WriteNumberOrNull("unscored_rows", report.UnscoredRows);
        if (report.Lengths is { } lengths)
        {
            json.WriteStartObject("lengths");
            json.WriteNumber("shortest", lengths.Shortest);
            json.WriteNumber("median", lengths.Median);
            json.WriteNumber("p90", lengths.NinetyPercent);
            json.WriteNumber("p99", lengths.NinetyNinePercent);
            json.WriteNumber("longest", lengths.Longest);
            json.WriteEndObject();
        }

        json.WriteStartObject("labels");
        foreach (var (label, count) in report.Labels)
        {
            json.WriteNumber(label, count);
        }

        json.WriteEndObject();
    }

    private static Option<string?> TaskOption()
    {
        const string Language = "language";
        var option = Values.Text(
            "--task", "language|classification|multi-label|regression|generate|score", "What the rows are for.");
        option.DefaultValueFactory = _ => Language;
        option.AcceptOnlyFromAmong(Language, "classification", "multi-label", "regression", "generate", "score");
        return option;
    }
}
