using System.CommandLine;

namespace Reft.Cli;

/// <summary>The options that say how a file of rows is read: the same ones in every command.</summary>
internal static class RowOptions
{
    private const string Formats = "jsonl|json|csv|tsv|parquet";

    private static readonly Option<string?> Format = FormatOption();

    private static readonly Option<DataFields?> Fields = new("--fields")
    {
        HelpName = "FIELD=COLUMN,…",
        Description = "Which columns stand for which fields, e.g. prompt=question,completion=answer.",
        CustomParser = result => Values.Read(result, DataFields.Parse),
    };

    private static readonly Option<string?> Template = Values.Text(
        "--template",
        "alpaca|chat|FILE|TEXT",
        "What makes the text of a row: Alpaca's texts, the model's chat template, or a text with {columns} (a prompt, or what is classified), as it stands or in a file.");

    private static readonly Option<string?> CompletionTemplate = Values.Text(
        "--completion-template", "TEXT", "The text of a completion, with {columns}; the field completion where it is not given.");

    private static readonly Option<bool> Stream = Values.Flag(
        "--stream", "Leave the rows on the disk and read them as they are needed, for data that are larger than memory.");

    /// <summary>All of them.</summary>
    public static IEnumerable<Option> All => [Format, Fields, Template, CompletionTemplate, Stream];

    /// <summary>Those of a command that reads each row once.</summary>
    public static IEnumerable<Option> WithoutStream => All.Where(option => option != Stream);

    /// <summary>Those of a command whose rows have no text to make.</summary>
    public static IEnumerable<Option> WithoutTemplate => All.Where(option => option != Template && option != CompletionTemplate);

    /// <summary>How a command line says that rows are read.</summary>
    /// <exception cref="ArgumentException">The template is none.</exception>
    public static DataOptions Read(ParseResult parsed) =>
        new()
        {
            Format = parsed.GetValue(Format) switch
            {
                "jsonl" => DataFormat.JsonLines,
                "json" => DataFormat.Json,
                "csv" => DataFormat.Csv,
                "tsv" => DataFormat.Tsv,
                "parquet" => DataFormat.Parquet,
                _ => null,
            },
            Fields = parsed.GetValue(Fields) ?? DataFields.Standard,
            Template = TemplateOf(parsed.GetValue(Template), parsed.GetValue(CompletionTemplate)),
            Stream = parsed.GetValue(Stream),
        };

    private static RowTemplate? TemplateOf(string? template, string? completion)
    {
        if (completion is not null && template is null or "alpaca" or "chat")
        {
            throw new ArgumentException("--completion-template belongs to a --template of your own");
        }

        var end = completion is null ? null : Unescaped(completion);
        try
        {
            return template switch
            {
                null => null,
                "alpaca" => RowTemplate.Alpaca,
                "chat" => RowTemplate.Chat,
                _ when File.Exists(template) => RowTemplate.Load(template, end),
                _ when template.Contains('{', StringComparison.Ordinal) => RowTemplate.Text(Unescaped(template), end),
                _ => throw new ArgumentException(
                    $"expected alpaca, chat, a file or a text with {{columns}}, found '{template}', and there is no such file"),
            };
        }
        catch (ArgumentException e)
        {
            throw new ArgumentException($"--{(e.ParamName == "completion" ? "completion-" : "")}template: {Values.MessageOf(e)}", e);
        }
    }

    // No shell makes it easy to write an end of line.
    private static string Unescaped(string text)
    {
        var parts = text.Split(@"\\");
        return string.Join('\\', parts.Select(part => part
            .Replace(@"\n", "\n", StringComparison.Ordinal)
            .Replace(@"\t", "\t", StringComparison.Ordinal)));
    }

    private static Option<string?> FormatOption()
    {
        var option = Values.Text(
            "--format", Formats, "The format of the rows; what the file's name says where it is not given, and JSON Lines where that says nothing.");
        option.AcceptOnlyFromAmong(Formats.Split('|'));
        return option;
    }
}
