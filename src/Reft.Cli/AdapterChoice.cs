using System.CommandLine;
using System.CommandLine.Parsing;

namespace Reft.Cli;

/// <summary>The options that say which adapters a model runs with, and how strongly: for commands that train nothing.</summary>
internal static class AdapterChoice
{
    private static readonly Option<string[]> Adapters = Values.Texts(
        "--adapter", "DIR", "An adapter that `reft train` saved; another one, given after it, acts on what it left. Without it the model itself is used.");

    private static readonly Option<double?> EditScale = Values.OptionalNumber(
        "--edit-scale", "X", "What the edits of the adapters are multiplied by: 1 is as trained, 0 switches them off, -1 negates them.", Values.Number("a finite number", double.IsFinite));

    public static IEnumerable<Option> All => [Adapters, EditScale];

    /// <summary>Refuses a scale without something to scale.</summary>
    public static void Check(CommandResult result)
    {
        if (result.GetResult(EditScale) is not null && result.GetResult(Adapters) is null)
        {
            result.AddError("--edit-scale is for adapters: expected --adapter DIR too.");
        }
    }

    /// <summary>Puts the adapters on a model.</summary>
    public static void Apply(ParseResult parsed, ReftModel model)
    {
        switch (parsed.GetValue(Adapters) ?? [])
        {
            case []:
                return;
            case [var only]:
                model.LoadAdapter(only);
                break;
            case var several:
                model.LoadAdapters(several.Select(folder => new AdapterSource(folder)));
                break;
        }

        if (parsed.GetValue(EditScale) is { } scale)
        {
            if (model.Describe().Placements.Count == 0)
            {
                throw new ArgumentException("--edit-scale scales interventions, and no --adapter has one: leave it out");
            }

            model.ScaleEdits(scale);
        }
    }
}
