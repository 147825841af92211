using System.Runtime.InteropServices;

namespace Reft.Cli;

/// <summary>Errors as one line on stderr, and the exit code that goes with them.</summary>
internal static class Failure
{
    private const string NoMemory = "out of memory: try a smaller --batch-size, shorter rows, or --dtype bf16";

    /// <summary>Runs a command; whatever goes wrong becomes a line and an exit code.</summary>
    public static async Task<int> ReportAsync(Func<Task<int>> command)
    {
#pragma warning disable CA1031 // A user gets one line, whatever went wrong.
        try
        {
            return await command().ConfigureAwait(false);
        }
        catch (ClosedOutputException)
        {
            return ExitCode.OutputClosed;
        }
        catch (Exception e)
        {
            return Say(MessageOf(e), ExitCode.Failure);
        }
#pragma warning restore CA1031
    }

    /// <summary>One line on stderr.</summary>
    public static int Say(string message, int exitCode)
    {
        Console.Error.WriteLine($"reft: {Terminal.Clipped(OneLine(message))}");
        return exitCode;
    }

    private static string MessageOf(Exception e) =>
        e switch
        {
            AggregateException { InnerException: { } inner } => MessageOf(inner),
            TypeInitializationException { InnerException: { } inner } => MessageOf(inner),
            ArgumentException { ParamName: { } name } => e.Message.Replace($" (Parameter '{name}')", "", StringComparison.Ordinal),
            OutOfMemoryException => NoMemory,
            ExternalException when SaysNoMemory(e.Message) => NoMemory,
            ArgumentException or IOException or InvalidDataException or InvalidOperationException
                or UnauthorizedAccessException => e.Message,
            _ when e.GetType().Namespace?.StartsWith(nameof(Reft), StringComparison.Ordinal) == true => e.Message,
            _ => $"unexpected {e.GetType().Name}: {e.Message}",
        };

    // libtorch has no kind of error for it: these are the words of its allocators, on the CPU and on CUDA.
    private static bool SaysNoMemory(string message) =>
        message.Contains("can't allocate memory", StringComparison.Ordinal)
        || message.Contains("CUDA out of memory", StringComparison.Ordinal);

    // libtorch's messages carry a native stack trace from their second line on.
    private static string OneLine(string message) =>
        string.Join(' ', message
            .Split('\n', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries)
            .TakeWhile(line => !line.StartsWith("Exception raised from", StringComparison.Ordinal)));
}
