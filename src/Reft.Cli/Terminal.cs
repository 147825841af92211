using System.Globalization;
using Spectre.Console;

namespace Reft.Cli;

/// <summary>Where progress goes: always stderr, as a bar if a person looks at it.</summary>
internal static class Terminal
{
    /// <summary>Whether stderr is a terminal.</summary>
    public static bool ShowsErrors => !Console.IsErrorRedirected;

    /// <summary>Whether results appear on a terminal, where a bar would be in their way.</summary>
    public static bool ShowsResults => !Console.IsOutputRedirected;

    /// <summary>A line of progress or news.</summary>
    public static void Say(FormattableString line) =>
        Console.Error.WriteLine(line.ToString(CultureInfo.InvariantCulture));

    /// <summary>A bar hides it while it moves.</summary>
    public static void ShowCursor()
    {
        if (ShowsErrors)
        {
            Console.Error.Write("\u001b[?25h");
        }
    }

    /// <summary>Runs something under a progress bar.</summary>
    public static Task<T> WithBarAsync<T>(string title, Func<ProgressTask, Task<T>> run)
    {
        var console = AnsiConsole.Create(new AnsiConsoleSettings { Out = new AnsiConsoleOutput(Console.Error) });
        return console.Progress()
            .Columns(
                new TaskDescriptionColumn(),
                new ProgressBarColumn(),
                new PercentageColumn(),
                new RemainingTimeColumn())
            .StartAsync(context => run(context.AddTask(Markup.Escape(title))));
    }
}
