using System.CommandLine;

namespace Reft.Cli;

/// <summary><c>reft tokenize</c>: the token ids of texts.</summary>
internal static class TokenizeCommand
{
    private static readonly Argument<string> Tokenizer = new("DIR")
    {
        Description = "A folder with tokenizer.json or tokenizer.model, or one of these files.",
    };

    private static readonly Option<string> Input = Values.Required("--input", "FILE.jsonl", """Rows {"text": …}.""");

    private static readonly Option<bool> NoSpecial = Values.Flag(
        "--no-special", "Leave out what the tokenizer puts before and after a text, e.g. BOS.");

    private static readonly Option<bool> Json = CommonOptions.Json(
        """one line per row, {"ids": […], "decoded": the text of the ids with special tokens},""");

    public static Command Create()
    {
        var command = new Command("tokenize", "Token ids of texts, without a model.")
        {
            Tokenizer, Input, NoSpecial, Json,
        };
        command.SetAction(Run);
        return command;
    }

    private static int Run(ParseResult parsed)
    {
        using var output = new StandardOutput();
        var rows = DataRow.FromJsonLines(parsed.GetRequiredValue(Input), RowUse.Score);
        var tokenizer = ModelTokenizer.Load(parsed.GetRequiredValue(Tokenizer));
        foreach (var row in rows)
        {
            var text = row.Text ?? throw new InvalidDataException($"{row.Source}: field 'text': expected a text, found none");
            var ids = tokenizer.Encode(text, addSpecial: !parsed.GetValue(NoSpecial));
            if (parsed.GetValue(Json))
            {
                output.JsonLine(json =>
                {
                    json.WriteNumbers("ids", ids);
                    json.WriteString("decoded", tokenizer.Decode(ids, skipSpecial: false));
                });
            }
            else
            {
                output.Line(string.Join(' ', ids));
            }
        }

        return ExitCode.Success;
    }
}
