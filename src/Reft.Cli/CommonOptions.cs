using System.CommandLine;

namespace Reft.Cli;

/// <summary>What several commands ask for, and how a command is put together.</summary>
internal static class CommonOptions
{
    public static Option<bool> Json(string what) => Values.Flag("--json", $"Print {what} as JSON.");

    /// <summary>A command with these options, in the order in which help shows them.</summary>
    public static Command Command(string name, string description, params IEnumerable<Option> options)
    {
        var command = new Command(name, description);
        foreach (var option in options)
        {
            command.Add(option);
        }

        return command;
    }
}
