using System.Diagnostics;
using Spectre.Console;

namespace Reft.Cli;

/// <summary>Rows as they are done. Where results themselves appear on the terminal, they are the progress.</summary>
internal static class RowDisplay
{
    private static readonly TimeSpan Interval = TimeSpan.FromSeconds(5);

    /// <summary>Writes each result as it comes, and shows how many of them have come.</summary>
    /// <param name="verb">What is done with rows, e.g. <c>scored</c>.</param>
    /// <param name="total">The number of rows.</param>
    /// <param name="results">The results, computed as they are taken.</param>
    /// <param name="write">Writes a result.</param>
    public static Task ShowAsync<T>(string verb, int total, IEnumerable<T> results, Action<T> write)
    {
        return Terminal.ShowsResults ? RunAsync(_ => { })
            : Terminal.ShowsErrors ? Terminal.WithBarAsync(verb, bar => RunAsync(done => Move(bar, verb, done, total)))
            : RunAsync(Lines(verb, total));

        Task<int> RunAsync(Action<int> progress)
        {
            var done = 0;
            foreach (var result in results)
            {
                write(result);
                progress(++done);
            }

            return Task.FromResult(done);
        }
    }

    private static void Move(ProgressTask bar, string verb, int done, int total)
    {
        bar.MaxValue = total;
        bar.Value = done;
        bar.Description = Markup.Escape($"{verb} {done}/{total} rows");
    }

    private static Action<int> Lines(string verb, int total)
    {
        var clock = Stopwatch.StartNew();
        var said = TimeSpan.Zero;
        return done =>
        {
            if (done == total || clock.Elapsed - said > Interval)
            {
                said = clock.Elapsed;
                Terminal.Say($"{verb} {done}/{total} rows in {said.TotalSeconds:0.0} s");
            }
        };
    }
}
