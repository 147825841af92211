using System.CommandLine;

namespace Reft.Cli;

/// <summary><c>reft report</c>: a page and a picture of a run that was written down.</summary>
internal static class ReportCommand
{
    private static readonly Argument<string> Log = new("LOG.jsonl")
    {
        Description = "What `reft train --log` wrote; the run may be going on still.",
    };

    private static readonly Option<string?> Output = Values.Text(
        "--output", "FILE.html", "The page; report.html beside the log where neither it nor --plot is given.");

    private static readonly Option<string?> Plot = Values.Text("--plot", "FILE.png", "The curves as a picture.");

    public static Command Create()
    {
        var command = CommonOptions.Command("report", "A page of a training run, from its log.", [Output, Plot]);
        command.Arguments.Add(Log);
        command.SetAction(parsed =>
        {
            var path = parsed.GetRequiredValue(Log);
            var (page, picture) = (parsed.GetValue(Output), parsed.GetValue(Plot));
            if (page is null && picture is null)
            {
                page = Path.Combine(Path.GetDirectoryName(Path.GetFullPath(path))!, "report.html");
            }

            MonitoringOptions.CheckFiles([("--output", page), ("--plot", picture)], [("the log", path)]);
            Write(TrainingLog.Read(path), page, picture);
            return ExitCode.Success;
        });
        return command;
    }

    /// <summary>Writes the page and the picture of a run, where they are asked for.</summary>
    public static void Write(TrainingLog log, string? page, string? picture)
    {
        if (page is not null)
        {
            TrainingReport.WriteHtml(page, log);
            Terminal.Say($"wrote the report {page}");
        }

        if (picture is not null)
        {
            TrainingPicture.Save(picture, log);
            Terminal.Say($"wrote the picture {picture}");
        }
    }
}
