namespace Reft.Cli;

/// <summary>Errors as one line on stderr, and the exit code that goes with them.</summary>
internal static class Failure
{
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
        Console.Error.WriteLine($"reft: {OneLine(message)}");
        return exitCode;
    }

    private static string MessageOf(Exception e) =>
        e switch
        {
            AggregateException { InnerException: { } inner } => MessageOf(inner),
            TypeInitializationException { InnerException: { } inner } => MessageOf(inner),
            ArgumentException { ParamName: { } name } => e.Message.Replace($" (Parameter '{name}')", "", StringComparison.Ordinal),
            OutOfMemoryException => "out of memory: try a smaller --batch-size, or --dtype bf16",
            ArgumentException or IOException or InvalidDataException or InvalidOperationException
                or UnauthorizedAccessException => e.Message,
            _ when e.GetType().Namespace?.StartsWith(nameof(Reft), StringComparison.Ordinal) == true => e.Message,
            _ => $"unexpected {e.GetType().Name}: {e.Message}",
        };

    // libtorch's messages carry a native stack trace from their second line on.
    private static string OneLine(string message) =>
        string.Join(' ', message
            .Split('\n', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries)
            .TakeWhile(line => !line.StartsWith("Exception raised from", StringComparison.Ordinal)));
}
