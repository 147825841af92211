using System.Diagnostics;
using System.Text;
using System.Text.Json;

namespace Reft.Tests.Cli;

/// <summary>The built <c>reft</c>, run as a user runs it.</summary>
internal static class ReftProcess
{
    private const int Sigint = 2;
    private const int Sigkill = 9;
    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(2);

    private static readonly string Program = Path.Combine(
        RepositoryFiles.At("src/Reft.Cli/bin"), Configuration(), "net10.0", "reft.dll");

    /// <summary>Runs it to its end.</summary>
    public static Outcome Run(params string[] arguments) => Run(arguments, []);

    /// <summary>Runs it to its end, with some variables in its environment.</summary>
    public static Outcome Run(string[] arguments, (string Name, string Value)[] environment)
    {
        using var process = Start(arguments, environment);
        using var watchdog = Watchdog(process);
        var errors = process.StandardError.ReadToEndAsync();
        var output = process.StandardOutput.ReadToEnd();
        return Ended(process, output, errors.GetAwaiter().GetResult());
    }

    /// <summary>Interrupts it, as Ctrl-C does, when a line on stderr begins with this.</summary>
    public static Outcome Interrupt(string when, params string[] arguments) => Interrupt(when, [], arguments);

    /// <summary>The same, with some variables in its environment.</summary>
    public static Outcome Interrupt(string when, (string Name, string Value)[] environment, params string[] arguments)
    {
        // A shell starts background jobs with SIGINT ignored, and a test run in one would pass that on: the command would
        // rightly ignore it too.
        using var process = Launch("env", ["--default-signal=INT", "dotnet", Program, .. arguments], environment);
        using var watchdog = Watchdog(process);
        var output = process.StandardOutput.ReadToEndAsync();
        var errors = new StringBuilder();
        var interrupted = false;
        while (process.StandardError.ReadLine() is { } line)
        {
            errors.AppendLine(line);
            if (!interrupted && line.StartsWith(when, StringComparison.Ordinal))
            {
                interrupted = true;
                using var kill = Process.Start("kill", ["-" + Sigint, process.Id.ToString(provider: null)]);
                kill.WaitForExit();
            }
        }

        return Ended(process, output.GetAwaiter().GetResult(), errors.ToString());
    }

    /// <summary>
    /// Ends it with SIGKILL, which no program can catch, some time after a line on stderr begins with this, once something
    /// holds; the outcome is null then, and that of the command where it was faster.
    /// </summary>
    public static Outcome? Kill(
        string when, TimeSpan after, Func<bool> once, (string Name, string Value)[] environment, params string[] arguments)
    {
        using var process = Start(arguments, environment);
        using var watchdog = Watchdog(process);
        var output = process.StandardOutput.ReadToEndAsync();
        var errors = new StringBuilder();
        while (process.StandardError.ReadLine() is { } line)
        {
            errors.AppendLine(line);
            if (line.StartsWith(when, StringComparison.Ordinal))
            {
                break;
            }
        }

        var rest = process.StandardError.ReadToEndAsync();
        if (!process.WaitForExit(after))
        {
            while (!once() && !process.HasExited)
            {
                Thread.Yield();
            }

            process.Kill();
        }

        var outcome = Ended(process, output.GetAwaiter().GetResult(), errors + rest.GetAwaiter().GetResult());
        return outcome.ExitCode == 128 + Sigkill ? null : outcome;
    }

    /// <summary>Reads its first line and closes the pipe.</summary>
    public static (string? First, Outcome Outcome) ReadOneLine(params string[] arguments)
    {
        using var process = Start(arguments, []);
        var errors = process.StandardError.ReadToEndAsync();
        var first = process.StandardOutput.ReadLine();
        process.StandardOutput.Close();
        return (first, Ended(process, "", errors.GetAwaiter().GetResult()));
    }

    /// <summary>Ends a process that does not end by itself, so that a defect fails a test instead of hanging the run.</summary>
    private static Timer Watchdog(Process process) =>
        new(_ => process.Kill(entireProcessTree: true), null, Patience, Timeout.InfiniteTimeSpan);

    private static Process Start(string[] arguments, (string Name, string Value)[] environment) =>
        Launch("dotnet", [Program, .. arguments], environment);

    private static Process Launch(string file, string[] arguments, (string Name, string Value)[] environment)
    {
        var start = new ProcessStartInfo(file, arguments)
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            StandardOutputEncoding = Encoding.UTF8,
            StandardErrorEncoding = Encoding.UTF8,
        };
        foreach (var (name, value) in environment)
        {
            start.Environment[name] = value;
        }

        Check.That(File.Exists(Program), $"expected the built command at {Program}");
        return Process.Start(start)!;
    }

    private static Outcome Ended(Process process, string output, string errors)
    {
        if (!process.WaitForExit(Patience))
        {
            process.Kill();
            throw new TimeoutException($"reft did not end: {errors}");
        }

        return new Outcome(process.ExitCode, output, errors);
    }

    // Tests and command are built in the same configuration, which is part of the path: bin/Debug/net10.0.
    private static string Configuration() =>
        new DirectoryInfo(AppContext.BaseDirectory.TrimEnd(Path.DirectorySeparatorChar)).Parent!.Name;
}

/// <summary>How a run of <c>reft</c> ended.</summary>
internal sealed record Outcome(int ExitCode, string Output, string Errors)
{
    /// <summary>The lines on stdout.</summary>
    public string[] Lines => Output.Split('\n', StringSplitOptions.RemoveEmptyEntries);

    /// <summary>Each line on stdout, as JSON.</summary>
    public IReadOnlyList<JsonElement> Json => [.. Lines.Select(line => JsonDocument.Parse(line).RootElement)];

    /// <summary>The outcome itself, if it was a success.</summary>
    public Outcome Succeeded()
    {
        Check.That(ExitCode == 0, $"expected exit code 0, found {ExitCode}: {Errors}");
        return this;
    }

    /// <summary>Checks that nothing came out but one line of error, with these parts.</summary>
    public void FailedWith(int exitCode, params string[] parts)
    {
        Check.That(ExitCode == exitCode, $"expected exit code {exitCode}, found {ExitCode}: {Errors}");
        Check.Equal("", Output, "stdout");
        var errors = Errors.Split('\n', StringSplitOptions.RemoveEmptyEntries);
        Check.That(errors is [var only] && only.StartsWith("reft: ", StringComparison.Ordinal), $"expected one line of error, found: {Errors}");
        foreach (var part in parts)
        {
            Check.That(Errors.Contains(part, StringComparison.Ordinal), $"expected '{part}' in the error, found: {Errors}");
        }
    }
}
