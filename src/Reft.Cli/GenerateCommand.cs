using System.CommandLine;

namespace Reft.Cli;

/// <summary><c>reft generate</c>: what a model says after prompts.</summary>
internal static class GenerateCommand
{
    private static readonly ModelChoice Model = new();
    private static readonly Option<string?> Adapter = CommonOptions.Adapter();
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
        """{"token_ids": [the new tokens], "text": …} for the prompt, too, rather than its text,""");

    public static Command Create()
    {
        var command = CommonOptions.Command(
            "generate",
            "Generate greedily after a prompt, or after each row of a file.",
            [.. Model.Which, Adapter, Prompt, Input, .. RowOptions.All, MaxNewTokens, IgnoreEos, BatchSize, .. Model.How, Json]);
        command.Validators.Add(result =>
        {
            if ((result.GetResult(Prompt) is null) == (result.GetResult(Input) is null))
            {
                result.AddError("Expected either --prompt TEXT or --input FILE.");
            }
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
        using var model = await Model.LoadAsync(parsed, parsed.GetValue(Adapter)).ConfigureAwait(false);
        if (parsed.GetValue(Prompt) is not null && model.Tokenizer is null)
        {
            throw new InvalidDataException(
                $"--prompt: {model.TokenizerProblem ?? "the model's folder holds no tokenizer.json or tokenizer.model"}; text cannot be read: give rows of token ids by --input");
        }

        var options = new GenerationOptions
        {
            MaxNewTokens = parsed.GetValue(MaxNewTokens),
            IgnoreEos = parsed.GetValue(IgnoreEos),
            BatchSize = parsed.GetValue(BatchSize),
        };

        if (parsed.GetValue(Prompt) is { } prompt && !parsed.GetValue(Json))
        {
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
                json.WriteNumbers("token_ids", result.TokenIds);
                json.WriteString("text", result.Text);
            })).ConfigureAwait(false);
        return ExitCode.Success;
    }
}
