using System.CommandLine;
using System.CommandLine.Parsing;
using System.Globalization;
using System.Text.Json;

namespace Reft.Cli;

/// <summary><c>reft choose</c>: multiple choice.</summary>
internal static class ChooseCommand
{
    private static readonly ModelChoice Model = new();
    private static readonly Option<string?> Against = Values.Text(
        "--against", "DIR", "A second adapter, as it was trained, which chooses of the same rows too; without --adapter, the model itself is compared with it.");

    private static readonly Option<string> Input = Values.Required(
        "--input", "FILE", """Rows, in any format of `reft train`: {"prompt": …, "choices": [texts], "answer": number or text}; the answer may be missing.""");

    private static readonly Option<string?> By = ByOption();
    private static readonly Option<string> Neutral = new("--neutral-prompt")
    {
        HelpName = "TEXT",
        Description = "With --by pmi: the prompt after which a choice is as likely as it is anyway.",
        DefaultValueFactory = _ => new ChoiceOptions().NeutralPrompt,
    };

    private static readonly Option<int> MaxNewTokens = Values.Option(
        "--max-new-tokens", "N", "With --by generation: new tokens per row at most.", 32, Values.IntegerFrom(1));

    private static readonly Option<int> BatchSize = Values.Option(
        "--batch-size", "N", "Choices that are computed together, or rows with --by generation.", 8, Values.IntegerFrom(1));

    private static readonly Option<bool> Json = CommonOptions.Json(
        """one line per row, {"choice": …, "answer": …, "right": …, "scores": [{"logprob": …, "tokens": …, "score": …, "probability": …}], "text": …}, and last {"evaluation": …},""");

    public static Command Create()
    {
        var command = CommonOptions.Command(
            "choose",
            "Multiple choice by likelihood or by generation, with accuracy, its interval and calibration.",
            [.. Model.Which, .. AdapterChoice.All, Against, Input, .. RowOptions.WithoutTemplate, By, Neutral, MaxNewTokens, BatchSize, .. Model.How, Json]);
        command.Validators.Add(result =>
        {
            AdapterChoice.Check(result);
            RefuseWithout(result, Neutral, "pmi");
            RefuseWithout(result, MaxNewTokens, "generation");
        });
        command.SetAction(RunAsync);
        return command;
    }

    private static void RefuseWithout(CommandResult result, Option option, string way)
    {
        if (result.GetResult(option) is { Implicit: false } && !(result.GetResult(By)?.Tokens is [var by] && by.Value == way))
        {
            result.AddError($"Expected --by {way} with {option.Name}: other ways do not read it.");
        }
    }

    private static async Task<int> RunAsync(ParseResult parsed)
    {
        using var output = new StandardOutput();
        var rows = ChoiceRow.FromFile(parsed.GetRequiredValue(Input), RowOptions.Read(parsed));
        var options = new ChoiceOptions
        {
            By = parsed.GetValue(By) switch
            {
                "per-token" => ChoiceScoring.PerToken,
                "per-byte" => ChoiceScoring.PerByte,
                "pmi" => ChoiceScoring.PointwiseInformation,
                "generation" => ChoiceScoring.Generation,
                _ => ChoiceScoring.Likelihood,
            },
            NeutralPrompt = parsed.GetRequiredValue(Neutral),
            MaxNewTokens = parsed.GetValue(MaxNewTokens),
            BatchSize = parsed.GetValue(BatchSize),
        };
        if (parsed.GetValue(Against) is { } compared)
        {
            // Before the first pass, which may take long.
            AdapterInfo.Read(compared);
        }

        var results = await ChooseAsync(
            parsed, model => AdapterChoice.Apply(parsed, model), rows, options, result => Write(parsed, output, rows, result)).ConfigureAwait(false);
        var other = parsed.GetValue(Against) is { } against
            ? await ChooseAsync(parsed, model => model.LoadAdapter(against), rows, options, _ => { }).ConfigureAwait(false)
            : null;
        if (rows.Count == 0)
        {
            Terminal.Say($"{parsed.GetRequiredValue(Input)} has no rows: nothing is evaluated");
            return ExitCode.Success;
        }

        if (rows.Where(row => row.Answer is null).ToArray() is [var first, ..] unanswered)
        {
            Terminal.Say($"{unanswered.Length} of {rows.Count} rows have no answer, the first {first.Source ?? "of them"}: nothing is evaluated");
            return ExitCode.Success;
        }

        var comparison = ChoiceComparison.Of(results, other);
        if (parsed.GetValue(Json))
        {
            output.JsonLine(comparison.WriteJson);
        }
        else
        {
            output.Text(comparison.ToString());
        }

        return ExitCode.Success;
    }

    // One model at a time is in memory.
    private static async Task<IReadOnlyList<ChoiceResult>> ChooseAsync(
        ParseResult parsed, Action<ReftModel> put, IReadOnlyList<ChoiceRow> rows, ChoiceOptions options, Action<(int Row, ChoiceResult Result)> write)
    {
        using var model = await Model.LoadAsync(parsed, put).ConfigureAwait(false);
        var results = new List<ChoiceResult>();
        await RowDisplay.ShowAsync("chosen", rows.Count, model.Choose(rows, options), result =>
        {
            write((results.Count, result));
            results.Add(result);
        }).ConfigureAwait(false);
        return results;
    }

    private static void Write(ParseResult parsed, StandardOutput output, IReadOnlyList<ChoiceRow> rows, (int Row, ChoiceResult Result) chosen)
    {
        if (parsed.GetValue(Json))
        {
            output.JsonLine(json => WriteJson(json, chosen.Result));
            return;
        }

        var (row, result) = (rows[chosen.Row], chosen.Result);
        string?[] cells =
        [
            result.Choice is { } choice ? string.Create(CultureInfo.InvariantCulture, $"{choice}: {row.Choices[choice].Trim()}") : "none",
            result.Confidence?.ToString("0.0000", CultureInfo.InvariantCulture),
            result.IsRight is { } right ? right ? "right" : "wrong" : null,
        ];
        output.Line(string.Join('\t', cells.OfType<string>()).ReplaceLineEndings(" "));
    }

    private static void WriteJson(Utf8JsonWriter json, ChoiceResult result)
    {
        json.WriteNumberOrNull("choice", result.Choice);
        json.WriteNumberOrNull("answer", result.Answer);
        if (result.IsRight is { } right)
        {
            json.WriteBoolean("right", right);
        }
        else
        {
            json.WriteNull("right");
        }

        json.WriteStartArray("scores");
        foreach (var score in result.Scores)
        {
            json.WriteStartObject();
            json.WriteNumber("logprob", score.LogProb);
            json.WriteNumber("tokens", score.Tokens);
            json.WriteNumber("score", score.Score);
            json.WriteNumber("probability", score.Probability);
            json.WriteEndObject();
        }

        json.WriteEndArray();
        json.WriteString("text", result.Text);
    }

    private static Option<string?> ByOption()
    {
        string[] names = ["likelihood", "per-token", "per-byte", "pmi", "generation"];
        var option = Values.Text(
            "--by",
            string.Join('|', names),
            "By what choices are compared: the log-probability of a choice, per token, per byte, or against a neutral prompt; or the text that is generated.");
        option.DefaultValueFactory = _ => names[0];
        option.AcceptOnlyFromAmong(names);
        return option;
    }
}
