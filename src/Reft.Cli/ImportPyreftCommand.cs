using System.CommandLine;
using System.Globalization;

namespace Reft.Cli;

/// <summary><c>reft import-pyreft</c>: from an adapter of pyreft's to one of ours.</summary>
internal static class ImportPyreftCommand
{
    private static readonly Argument<string> Folder = new("DIR")
    {
        Description = "What reft_model.save wrote: config.json and intkey_*.bin. Its pickles are read as tensors only.",
    };

    private static readonly ModelChoice Model = new();
    private static readonly Option<Positions> PositionsOption = RequiredPositions();
    private static readonly Option<string> Output = Values.Required(
        "--output", "DIR", "Where the adapter is saved; an older one there is replaced.");

    private static readonly Option<string> Activation = Values.Option(
        "--activation", "NAME", "The activation (pyreft's act_fn), which pyreft does not save.", "linear", text => text);

    private static readonly Option<double> Dropout = Values.Option(
        "--dropout",
        "X",
        "pyreft's dropout, which it does not save either, for training further.",
        0.0,
        Values.Number("a number ≥ 0 and < 1", x => x is >= 0 and < 1));

    private static readonly Option<bool> Json = CommonOptions.Json("what was imported");

    public static Command Create()
    {
        var command = CommonOptions.Command(
            "import-pyreft",
            "Save an adapter of pyreft's as one of this library's.",
            [.. Model.Which, PositionsOption, Output, Activation, Dropout, Model.Lora, Json]);
        command.Add(Folder);
        command.SetAction(RunAsync);
        return command;
    }

    private static async Task<int> RunAsync(ParseResult parsed)
    {
        using var output = new StandardOutput();
        var folder = OutputFolder.Prepare(parsed.GetRequiredValue(Output));
        using var model = await Model.LoadAsync(parsed, adapter: null, tokenizer: false).ConfigureAwait(false);
        model.LoadPyreftAdapter(
            parsed.GetRequiredValue(Folder),
            new PyreftImportOptions
            {
                Positions = parsed.GetRequiredValue(PositionsOption),
                Activation = parsed.GetRequiredValue(Activation),
                Dropout = parsed.GetValue(Dropout),
            });
        folder.Save(model);
        var described = model.Describe();
        if (parsed.GetValue(Json))
        {
            output.JsonLine(json =>
            {
                json.WriteString("adapter", folder.Path);
                json.WriteNumber("trainable_parameters", described.TrainableParameters);
                json.WriteNumber("placements", described.Placements.Count);
            });
        }
        else
        {
            output.Line(string.Create(
                CultureInfo.InvariantCulture,
                $"saved {described.TrainableParameters:N0} parameters at {described.Placements.Count} sites in {folder.Path}"));
        }

        return ExitCode.Success;
    }

    private static Option<Positions> RequiredPositions()
    {
        var option = Values.Option(
            "--positions",
            "f7+l7|fN|lN",
            "The tokens of the prompt that were edited in training: pyreft does not save them.",
            Positions.All,
            Positions.Parse);
        option.DefaultValueFactory = null;
        option.Required = true;
        return option;
    }
}
