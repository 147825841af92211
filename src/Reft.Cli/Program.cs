using System.CommandLine;
using System.CommandLine.Invocation;
using System.Globalization;
using Reft.Cli;

// Numbers and messages are the same on every machine.
CultureInfo.CurrentCulture = CultureInfo.DefaultThreadCurrentCulture = CultureInfo.InvariantCulture;
CultureInfo.CurrentUICulture = CultureInfo.DefaultThreadCurrentUICulture = CultureInfo.InvariantCulture;

var root = new RootCommand(
    """
    Representation finetuning (ReFT) for .NET: train, run, score and inspect adapters, and exchange them with pyreft.

    Results go to stdout, progress and errors to stderr. Exit codes: 0 done, 1 failed, 2 wrong command line,
    130 stopped by Ctrl-C, 143 by SIGTERM.
    """)
{
    TrainCommand.Create(),
    CompareCommand.Create(),
    GenerateCommand.Create(),
    ScoreCommand.Create(),
    ClassifyCommand.Create(),
    ChooseCommand.Create(),
    InspectCommand.Create(),
    SweepCommand.Create(),
    RunCommand.Create(),
    ReportCommand.Create(),
    ValidateDataCommand.Create(),
    TokenizeCommand.Create(),
    RenderChatCommand.Create(),
    ImportPyreftCommand.Create(),
    ExportPyreftCommand.Create(),
};

// A prompt may begin with '@'.
var parsed = root.Parse(args, new ParserConfiguration { ResponseFileTokenReplacer = null });
if (parsed.Action is ParseErrorAction)
{
    var atRoot = parsed.CommandResult.Command == root;
    var problem =
        !atRoot ? parsed.Errors[0].Message
        : parsed.UnmatchedTokens is [var unknown, ..] ? $"There is no command or option '{unknown}'."
        : $"Expected a command: {string.Join(", ", root.Subcommands.SkipLast(1).Select(command => command.Name))} or {root.Subcommands[^1].Name}.";
    var help = atRoot ? "reft --help" : $"reft {parsed.CommandResult.Command.Name} --help";
    return Failure.Say($"{problem} See `{help}`.", ExitCode.Usage);
}

// Signals are the business of `reft train`.
return await Failure.ReportAsync(() => parsed.InvokeAsync(new InvocationConfiguration
{
    EnableDefaultExceptionHandler = false,
    ProcessTerminationTimeout = null,
}));
