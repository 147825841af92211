using System.Diagnostics;
using System.Reflection;
using System.Text;
using System.Text.Json;

namespace Reft.Reproduction;

/// <summary>A run ended without a result.</summary>
internal sealed class FailedRunException(string message) : Exception(message);

/// <summary>A run in a process of its own: this program again, told by its standard input what to do.</summary>
internal static class RunProcess
{
    /// <summary>The command of the process that does one run.</summary>
    public const string Command = "do";

    // Before the line of standard output that is the result.
    private const string Mark = "reproduction-result ";

    private sealed record Order(RunKey Key, Scope Scope, string Packages, Dictionary<string, string> Folders);

    private sealed record Answer(RunResult Result, double PeakMegabytes, string Machine);

    /// <summary>Does the run and gives what it found.</summary>
    /// <exception cref="FailedRunException">It failed; the message is its own.</exception>
    /// <exception cref="OperationCanceledException">It was stopped, and its process is gone.</exception>
    public static async Task<FinishedRun> RunAsync(RunKey key, string fingerprint, StudyContext context, CancellationToken stop)
    {
        var program = Environment.ProcessPath ?? throw new FailedRunException("the path of this program is not known");
        var start = new ProcessStartInfo(program)
        {
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            StandardOutputEncoding = Encoding.UTF8,
        };
        // An executable, or an assembly that dotnet runs.
        if (Path.GetFileNameWithoutExtension(program) == "dotnet")
        {
            start.ArgumentList.Add(Assembly.GetExecutingAssembly().Location);
        }

        start.ArgumentList.Add(Command);
        // One thread each, however many runs are beside it: times of runs can be compared.
        start.Environment["OMP_NUM_THREADS"] = "1";
        start.Environment["MKL_NUM_THREADS"] = "1";
        var clock = Stopwatch.StartNew();
        using var process = Process.Start(start) ?? throw new FailedRunException("its process could not be started");
        try
        {
            var errors = process.StandardError.ReadToEndAsync(stop);
            var order = new Order(key, context.Scope, context.Packages, new(context.Folders));
            await process.StandardInput.WriteLineAsync(JsonSerializer.Serialize(order).AsMemory(), stop).ConfigureAwait(false);
            process.StandardInput.Close();
            var output = await process.StandardOutput.ReadToEndAsync(stop).ConfigureAwait(false);
            await process.WaitForExitAsync(stop).ConfigureAwait(false);
            var line = output.Split('\n').LastOrDefault(text => text.StartsWith(Mark, StringComparison.Ordinal));
            if (process.ExitCode != 0 || line is null)
            {
                var said = (await errors.ConfigureAwait(false)).Trim();
                throw new FailedRunException(said.Length > 0 ? said : $"exit code {process.ExitCode}");
            }

            var answer = JsonSerializer.Deserialize<Answer>(line[Mark.Length..])!;
            return new FinishedRun(key, answer.Result, clock.Elapsed.TotalSeconds, answer.PeakMegabytes, answer.Machine, fingerprint);
        }
        catch (IOException e)
        {
            throw new FailedRunException($"its process ended early: {e.Message}");
        }
        finally
        {
            if (!process.HasExited)
            {
                process.Kill(entireProcessTree: true);
            }
        }
    }

    /// <summary>The other side: does the run that standard input asks for. The exit code.</summary>
    public static async Task<int> DoAsync()
    {
        try
        {
            var line = await Console.In.ReadLineAsync().ConfigureAwait(false);
            var order = JsonSerializer.Deserialize<Order>(line ?? "")!;
            var study = AllStudies.All.Single(study => study.Name == order.Key.Study);
            var context = new StudyContext(order.Scope, order.Packages, order.Folders, []);
            var result = await MeasureAsync(study, order.Key, context).ConfigureAwait(false);
            result = result with
            {
                Numbers = result.Numbers.Where(number => double.IsFinite(number.Value)).ToDictionary(),
            };
            using var self = Process.GetCurrentProcess();
            Console.WriteLine(Mark + JsonSerializer.Serialize(new Answer(result, self.PeakWorkingSet64 / 1e6, Machine.Describe())));
            return 0;
        }
        catch (Exception e)
        {
            Console.Error.WriteLine($"{e.GetType().Name}: {e.Message}");
            Console.Error.WriteLine(e.StackTrace);
            return 1;
        }
    }

    // A rate at which training diverges is a result, or its method would wait for it for ever.
    private static async Task<RunResult> MeasureAsync(IStudy study, RunKey key, StudyContext context)
    {
        try
        {
            return await study.RunAsync(key, context, CancellationToken.None).ConfigureAwait(false);
        }
        catch (DivergenceException e)
        {
            return new RunResult
            {
                Numbers = new Dictionary<string, double> { [FinishedRun.DivergedName] = 1 },
                Texts = new Dictionary<string, string> { [FinishedRun.DivergedName] = e.Message },
            };
        }
    }
}
