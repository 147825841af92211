using System.Diagnostics;
using System.Globalization;
using Spectre.Console;

namespace Reft.Cli;

/// <summary>A download as it goes: a bar on a terminal, lines elsewhere; nothing where the cache holds all.</summary>
internal static class HubDisplay
{
    private static readonly TimeSpan Interval = TimeSpan.FromSeconds(10);

    /// <summary>Runs it and shows its progress.</summary>
    /// <param name="name">What is fetched.</param>
    /// <param name="run">Fetches it.</param>
    public static async Task<string> ShowAsync(string name, Func<IProgress<HubProgress>, Task<string>> run)
    {
        // A notice does not stay under a moving bar: it is said again after it.
        var notices = new List<string>();
        try
        {
            return Terminal.ShowsErrors
                ? await Terminal.WithBarAsync(name, bar => run(Bar(bar, notices))).ConfigureAwait(false)
                : await run(Lines()).ConfigureAwait(false);
        }
        finally
        {
            foreach (var notice in notices)
            {
                Terminal.Say($"{notice}");
            }
        }
    }

    private static Observer Bar(ProgressTask bar, List<string> notices) =>
        new(report =>
        {
            if (report.Notice is { } notice)
            {
                notices.Add(notice);
                bar.Description = Markup.Escape(Terminal.Clipped(notice));
                return;
            }

            bar.MaxValue = Math.Max(1, report.TotalBytes);
            bar.Value = report.TotalFiles == 0 || report.Bytes < report.TotalBytes ? report.Bytes : bar.MaxValue;
            bar.Description = Markup.Escape($"{report.Repository} {Amount(report)}");
        });

    private static Observer Lines()
    {
        Stopwatch? silence = null;
        return new(report =>
        {
            if (report.Notice is { } notice)
            {
                Terminal.Say($"{notice}");
                return;
            }

            var done = report.TotalFiles > 0 && report.Files == report.TotalFiles;
            if (report.TotalFiles > 0 && (silence is null || done || silence.Elapsed > Interval))
            {
                silence = Stopwatch.StartNew();
                Terminal.Say($"downloading {report.Repository}: {Amount(report)}");
            }
        });
    }

    private static string Amount(HubProgress report)
    {
        const double Megabyte = 1e6;
        return string.Create(
            CultureInfo.InvariantCulture,
            $"{report.Bytes / Megabyte:0.0}/{report.TotalBytes / Megabyte:0.0} MB, {report.Files}/{report.TotalFiles} files");
    }

    private sealed class Observer(Action<HubProgress> observe) : IProgress<HubProgress>
    {
        public void Report(HubProgress value) => observe(value);
    }
}
