using System.CommandLine;
using System.CommandLine.Invocation;
using System.Globalization;
using Reft.Cli;

// Numbers and messages are the same on every machine.
CultureInfo.CurrentCulture = CultureInfo.DefaultThreadCurrentCulture = CultureInfo.InvariantCulture;
CultureInfo.CurrentUICulture = CultureInfo.DefaultThreadCurrentUICulture = CultureInfo.InvariantCulture;

var root = new RootCommand(
    """
    Representation finetuning (ReFT) for .NET: train, run, score and inspect adapters.

    Results go to stdout, progress and errors to stderr. Exit codes: 0 done, 1 failed, 2 wrong command line,
    130 stopped by Ctrl-C.
    """)
{
    TrainCommand.Create(),
    GenerateCommand.Create(),
    ScoreCommand.Create(),
    InspectCommand.Create(),
};

// A prompt may begin with '@'.
var parsed = root.Parse(args, new ParserConfiguration { ResponseFileTokenReplacer = null });
if (parsed.Action is ParseErrorAction)
{
    var command = parsed.CommandResult.Command == root ? "reft" : $"reft {parsed.CommandResult.Command.Name}";
    return Failure.Say($"{parsed.Errors[0].Message} (`{command} --help` shows what there is)", ExitCode.Usage);
}

// Signals are the business of `reft train`.
return await Failure.ReportAsync(() => parsed.InvokeAsync(new InvocationConfiguration
{
    EnableDefaultExceptionHandler = false,
    ProcessTerminationTimeout = null,
}));
