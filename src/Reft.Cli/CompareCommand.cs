using System.CommandLine;

namespace Reft.Cli;

/// <summary><c>reft compare</c>: methods over seeds, each run in a process of its own.</summary>
internal static class CompareCommand
{
    private const string DataName = "--data";
    private const string HeldOutName = "--eval-data";

    private static readonly Option<string> Methods = Values.Required(
        "--methods",
        "M,M,…",
        "The methods, as `reft train --method` takes them, and lr=X for a learning rate of a method's own: loreft:rank=4,lora:rank=8:lr=2e-4,full.");

    private static readonly Option<string> Seeds = Values.Option(
        "--seeds", "N,N,…", "The seeds of fresh parameters and of the order of rows: one run of each method for each.", "42,43,44", SeedList);

    private static readonly Option<string> Output = Values.Required(
        "--output", "DIR", "Where the runs' results are kept; runs that are there already, with the same options, are not run again.");

    private static readonly Option<bool> KeepAdapters = Values.Flag(
        "--keep-adapters", "Keep the adapter of each run beside its result.");

    private static readonly Option<bool> Json = CommonOptions.Json("the methods and all runs");

    public static Command Create()
    {
        var command = CommonOptions.Command(
            "compare",
            "Train several methods on the same rows over several seeds, and compare what they reach on held-out rows.",
            [Methods, Seeds, Output, KeepAdapters, .. TrainCommand.Shared, Json]);
        command.Validators.Add(result =>
        {
            if (result.GetValue<string?>(HeldOutName) is null)
            {
                result.AddError($"Expected {HeldOutName}: methods are compared by held-out rows.");
            }
        });
        command.SetAction(RunAsync);
        return command;
    }

    private static async Task<int> RunAsync(ParseResult parsed)
    {
        using var output = new StandardOutput();
        using var signals = new StopSignals();
        string[] methods = [.. parsed.GetRequiredValue(Methods).Split(',', StringSplitOptions.TrimEntries)];
        foreach (var method in methods)
        {
            try
            {
                MethodChoice.Parse(method);
            }
            catch (ArgumentException e)
            {
                return Failure.Say($"--methods: '{method}': {Values.MessageOf(e)}", ExitCode.Usage);
            }
        }

        if (methods.Distinct(StringComparer.Ordinal).Count() < methods.Length)
        {
            return Failure.Say("--methods: expected each method once", ExitCode.Usage);
        }

        long[] seeds = [.. parsed.GetRequiredValue(Seeds).Split(',', StringSplitOptions.TrimEntries).Select(Values.Seed).Distinct()];
        var folder = OutputFolder.Prepare(parsed.GetRequiredValue(Output)).Path;
        var runs = new ComparedRuns(
            folder,
            TrainArguments.Of(parsed, TrainCommand.Shared),
            [.. new[] { DataName, HeldOutName }.Select(name => parsed.GetValue<string?>(name)!)],
            parsed.GetValue(KeepAdapters));

        var done = new List<ComparedRun>();
        var failed = 0;
        // All methods of a seed before the next seed: a comparison that is cut short is fair as far as it goes.
        foreach (var (number, (seed, method)) in seeds.SelectMany(seed => methods.Select(method => (seed, method))).Index())
        {
            var place = $"{number + 1}/{methods.Length * seeds.Length} {method}, seed {seed}";
            try
            {
                var (run, isNew) = await runs.RunAsync(method, seed, signals.Token).ConfigureAwait(false);
                done.Add(run);
                Terminal.Say($"{place}: held-out loss {run.Loss:0.0000}{(isNew ? "" : ", from an earlier run")}");
            }
            catch (OperationCanceledException) when (signals.Token.IsCancellationRequested)
            {
                return Failure.Say(
                    $"stopped after {done.Count} of {methods.Length * seeds.Length} runs, which are kept in {folder}: the same command goes on from there",
                    signals.RequestedExit);
            }
            catch (FailedRunException e)
            {
                failed++;
                Terminal.Say($"{place}: failed: {e.Message}");
            }
        }

        if (done.Count == 0)
        {
            return Failure.Say("every run failed: there is nothing to compare", ExitCode.Failure);
        }

        var comparison = new Comparison([.. methods
            .Select(method => new ComparedMethod(method, [.. done.Where(run => run.Method == method)]))
            .Where(method => method.Runs.Count > 0)]);
        ComparedRuns.WriteAtomically(Path.Combine(folder, "comparison.json"), comparison.WriteJson);
        if (parsed.GetValue(Json))
        {
            output.JsonLine(comparison.WriteJson);
        }
        else
        {
            output.Text(comparison.ToString());
        }

        return failed == 0
            ? ExitCode.Success
            : Failure.Say($"{failed} of {methods.Length * seeds.Length} runs failed; the same command tries them again", ExitCode.Failure);
    }

    private static string SeedList(string text)
    {
        foreach (var seed in text.Split(',', StringSplitOptions.TrimEntries))
        {
            Values.Seed(seed);
        }

        return text;
    }
}
