using System.Globalization;
using Spectre.Console;

namespace Reft.Cli;

/// <summary>Where progress goes: always stderr, as a bar if a person looks at it.</summary>
internal static class Terminal
{
    private const int LongestLine = 4000;

    /// <summary>Whether stderr is a terminal.</summary>
    public static bool ShowsErrors => !Console.IsErrorRedirected;

    /// <summary>Whether results appear on a terminal, where a bar would be in their way.</summary>
    public static bool ShowsResults => !Console.IsOutputRedirected;

    /// <summary>A line of progress or news.</summary>
    public static void Say(FormattableString line) =>
        Console.Error.WriteLine(Clipped(line.ToString(CultureInfo.InvariantCulture)));

    /// <summary>
    /// A text fit for a person's terminal. Names in it may come from files of strangers, and what a terminal takes for a
    /// command (colours, the window's title, the clipboard) begins with a control character.
    /// </summary>
    public static string Plain(string text) =>
        string.Create(text.Length, text, static (shown, from) =>
        {
            for (var i = 0; i < shown.Length; i++)
            {
                shown[i] = char.IsControl(from[i]) ? '?' : from[i];
            }
        });

    /// <summary>A <see cref="Plain"/> text that does not flood the terminal either.</summary>
    public static string Clipped(string text) =>
        text.Length > LongestLine ? Plain(text[..LongestLine]) + "…" : Plain(text);

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
            .StartAsync(context => run(context.AddTask(Markup.Escape(Clipped(title)))));
    }
}
