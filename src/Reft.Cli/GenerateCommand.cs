using System.CommandLine;
using System.Text.Json;

namespace Reft.Cli;

/// <summary><c>reft generate</c>: what a model says after prompts.</summary>
internal static class GenerateCommand
{
    private static readonly ModelChoice Model = new();
    private static readonly Option<string?> Prompt = Values.Text("--prompt", "TEXT", "A prompt.");
    private static readonly Option<string?> Input = Values.Text(
        "--input", "FILE", """Rows, in any format of `reft train`: {"prompt": …} or {"input_ids": […]}; each gives one JSON line, in order.""");

    private static readonly Option<int?> MaxNewTokens = Values.Optional(
        "--max-new-tokens",
        "N",
        "New tokens at most; 128 where it is not given, or fewer where the model's context ends before.",
        Values.IntegerFrom(1));

    private static readonly Option<bool> IgnoreEos = Values.Flag(
        "--ignore-eos", "Go on after an end-of-sequence token, so that exactly N tokens come.");

    private static readonly Option<int> BatchSize = Values.Option(
        "--batch-size", "N", "Rows that are computed together.", 8, Values.IntegerFrom(1));

    private static readonly Option<bool> Json = CommonOptions.Json(
        """{"token_ids": [the new tokens], "text": …, "finish": …} for the prompt, too, rather than its text,""");

    public static Command Create()
    {
        var command = CommonOptions.Command(
            "generate",
            "Generate after a prompt, or after each row of a file: greedily, by sampling or by beam search.",
            [.. Model.Which, .. AdapterChoice.All, Prompt, Input, .. RowOptions.All, MaxNewTokens, IgnoreEos, .. DecodingOptions.All, BatchSize, .. Model.How, Json]);
        command.Validators.Add(result =>
        {
            if ((result.GetResult(Prompt) is null) == (result.GetResult(Input) is null))
            {
                result.AddError("Expected either --prompt TEXT or --input FILE.");
            }

            AdapterChoice.Check(result);
            DecodingOptions.Check(result);
        });
        command.SetAction(RunAsync);
        return command;
    }

    private static async Task<int> RunAsync(ParseResult parsed)
    {
        using var output = new StandardOutput();
        IReadOnlyList<DataRow> rows = parsed.GetValue(Input) is { } file
            ? DataRow.FromFile(file, RowUse.Generate, RowOptions.Read(parsed))
            : [new DataRow { Prompt = parsed.GetValue(Prompt), Source = "--prompt" }];
        using var model = await Model.LoadAsync(parsed, model => AdapterChoice.Apply(parsed, model)).ConfigureAwait(false);
        if (parsed.GetValue(Prompt) is not null && model.Tokenizer is null)
        {
            throw new InvalidDataException(
                $"--prompt: {model.TokenizerProblem ?? "the model's folder holds no tokenizer.json or tokenizer.model"}; text cannot be read: give rows of token ids by --input");
        }

        var options = DecodingOptions.Apply(parsed, new GenerationOptions
        {
            MaxNewTokens = parsed.GetValue(MaxNewTokens),
            IgnoreEos = parsed.GetValue(IgnoreEos),
            BatchSize = parsed.GetValue(BatchSize),
        });

        if (parsed.GetValue(Prompt) is { } prompt && !parsed.GetValue(Json))
        {
            if (DecodingOptions.SearchesBeams(parsed))
            {
                var best = model.Generate(prompt, options);
                foreach (var text in best.Alternatives.Prepend(best))
                {
                    output.Line(text.Text ?? "");
                }

                return ExitCode.Success;
            }

            await foreach (var piece in model.GenerateStreamAsync(prompt, options).ConfigureAwait(false))
            {
                output.Text(piece.Text ?? "");
            }

            output.Line("");
            return ExitCode.Success;
        }

        await RowDisplay.ShowAsync("generated", rows.Count, model.GenerateRows(rows, options), result =>
            output.JsonLine(json =>
            {
                Write(json, result);
                if (result.Alternatives.Count > 0)
                {
                    json.WriteStartArray("alternatives");
                    foreach (var other in result.Alternatives)
                    {
                        json.WriteStartObject();
                        Write(json, other);
                        json.WriteEndObject();
                    }

                    json.WriteEndArray();
                }
            })).ConfigureAwait(false);
        return ExitCode.Success;
    }

    private static void Write(Utf8JsonWriter json, GenerationResult result)
    {
        json.WriteNumbers("token_ids", result.TokenIds);
        json.WriteString("text", result.Text);
        json.WriteString("finish", result.FinishReason switch
        {
            FinishReason.EndToken => "end",
            FinishReason.StopString => "stop",
            _ => "length",
        });
        if (result.Score is { } score)
        {
            json.WriteNumber("score", score);
        }
    }
}
