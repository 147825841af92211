using System.CommandLine;

namespace Reft.Cli;

/// <summary><c>reft export-pyreft</c>: from an adapter of ours to one that pyreft loads.</summary>
internal static class ExportPyreftCommand
{
    private static readonly Argument<string> Adapter = new("ADAPTER") { Description = "An adapter that `reft train` saved." };
    private static readonly Option<string> Model = CommonOptions.Model();
    private static readonly Option<string?> Revision = CommonOptions.Revision();
    private static readonly Option<bool> Offline = CommonOptions.Offline();
    private static readonly Option<string> Output = Values.Required(
        "--output", "DIR", "Where pyreft's config.json and intkey_*.bin are written.");

    private static readonly Option<string?> Lora = CommonOptions.Lora();

    public static Command Create()
    {
        var command = new Command(
            "export-pyreft", "Write an adapter as pyreft's ReftModel.load takes it. Positions and dropout are not in its files.")
        {
            Adapter, Model, Revision, Offline, Output, Lora,
        };
        command.SetAction(RunAsync);
        return command;
    }

    private static async Task<int> RunAsync(ParseResult parsed)
    {
        using var output = new StandardOutput();
        var modelFolder = await CommonOptions
            .FolderAsync(parsed.GetRequiredValue(Model), parsed.GetValue(Revision), parsed.GetValue(Offline))
            .ConfigureAwait(false);
        using var model = CommonOptions.Load(
            modelFolder,
            parsed.GetRequiredValue(Adapter),
            new ModelOptions { LoadTokenizer = false, LoraAdapter = parsed.GetValue(Lora) });
        var folder = parsed.GetRequiredValue(Output);
        model.SavePyreftAdapter(folder);
        output.Line($"wrote {folder}");
        return ExitCode.Success;
    }
}
