using System.CommandLine;

namespace Reft.Cli;

/// <summary><c>reft export-pyreft</c>: from an adapter of ours to one that pyreft loads.</summary>
internal static class ExportPyreftCommand
{
    private static readonly Argument<string> Adapter = new("ADAPTER") { Description = "An adapter that `reft train` saved." };
    private static readonly ModelChoice Model = new();
    private static readonly Option<string> Output = Values.Required(
        "--output", "DIR", "Where pyreft's config.json and intkey_*.bin are written.");


    public static Command Create()
    {
        var command = CommonOptions.Command(
            "export-pyreft",
            "Write an adapter as pyreft's ReftModel.load takes it. Positions and dropout are not in its files.",
            [.. Model.Which, Output, Model.Lora]);
        command.Add(Adapter);
        command.SetAction(RunAsync);
        return command;
    }

    private static async Task<int> RunAsync(ParseResult parsed)
    {
        using var output = new StandardOutput();
        using var model =
            await Model.LoadAsync(parsed, parsed.GetRequiredValue(Adapter), tokenizer: false).ConfigureAwait(false);
        var folder = parsed.GetRequiredValue(Output);
        model.SavePyreftAdapter(folder);
        output.Line($"wrote {folder}");
        return ExitCode.Success;
    }
}
