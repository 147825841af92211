using System.CommandLine;

namespace Reft.Cli;

/// <summary>The options of <c>reft train</c> that say what is written down of a run.</summary>
internal static class MonitoringOptions
{
    private static readonly TrainingLogging Preset = new();

    private static readonly Option<string?> Log = Values.Text(
        "--log", "FILE.jsonl", "Write the run down as it goes, one JSON object a line; --resume goes on in the same file.");

    private static readonly Option<string?> TensorBoard = Values.Text(
        "--tensorboard", "DIR", "Write event files for TensorBoard into this folder.");

    private static readonly Option<string?> Report = Values.Text(
        "--report", "FILE.html", "Write a page with the run's curves, edits and examples, which needs no network.");

    private static readonly Option<string?> Plot = Values.Text("--plot", "FILE.png", "Draw the run's curves as a picture.");

    private static readonly Option<int> EditNormsEvery = Values.Option(
        "--edit-norms-every",
        "N",
        "With --log, --tensorboard, --report or --plot: measure every N steps how far hidden states are moved; 0 is never.",
        Preset.EditNormsEvery ?? 0,
        Values.IntegerFrom(0));

    private static readonly Option<int> Examples = Values.Option(
        "--examples", "N", "How many rows the model answers before and after, for --log and --report.", 4, Values.IntegerFrom(0));

    /// <summary>All of them, in the order in which help shows them.</summary>
    public static IEnumerable<Option> All => [Log, TensorBoard, Report, Plot, EditNormsEvery, Examples];

    /// <summary>The options of a run with what they say.</summary>
    /// <param name="parsed">The command line.</param>
    /// <param name="options">What is known already.</param>
    /// <param name="read">The files that the run reads, by the option that names them.</param>
    public static TrainingOptions Apply(
        ParseResult parsed, TrainingOptions options, IReadOnlyList<(string Option, string? Path)> read)
    {
        var (log, board) = (parsed.GetValue(Log), parsed.GetValue(TensorBoard));
        var (page, picture) = (parsed.GetValue(Report), parsed.GetValue(Plot));
        CheckFiles([("--log", log), ("--report", page), ("--plot", picture)], read);

        return log is null && board is null && page is null && picture is null
            ? options
            : options with
            {
                Logging = new TrainingLogging
                {
                    JsonLines = log,
                    TensorBoard = board,
                    EditNormsEvery = parsed.GetValue(EditNormsEvery) is > 0 and var every ? every : null,
                },
            };
    }

    /// <summary>What the model says of the first held-out rows; none where nobody asks.</summary>
    public static IReadOnlyList<TrainingSample> Sample(
        ParseResult parsed, TrainingTask task, ReftModel model, TrainingOptions options)
    {
        var count = parsed.GetValue(Examples);
        return count == 0 || (parsed.GetValue(Log) is null && parsed.GetValue(Report) is null)
            ? []
            : task.Answer(model, count, options.BatchSize);
    }

    /// <summary>Writes what is written at the end of a run.</summary>
    public static void Finish(
        ParseResult parsed, TrainingResult result, IReadOnlyList<TrainingSample> before, IReadOnlyList<TrainingSample> after)
    {
        if (result.LogProblem is { } problem)
        {
            Terminal.Say($"warning: {problem}");
        }

        TrainingSample[] samples = [.. before.Zip(after, (first, last) => first with { Before = first.After, After = last.After })];
        if (parsed.GetValue(Log) is { } path && samples.Length > 0 && result.LogProblem is null)
        {
            TrainingLog.AppendSamples(path, samples);
        }

        ReportCommand.Write(result.Log with { Samples = samples }, parsed.GetValue(Report), parsed.GetValue(Plot));
    }

    /// <summary>Refuses to write over what is read, and over each other: before an hour of training, not after it.</summary>
    public static void CheckFiles(
        IEnumerable<(string Option, string? Path)> written, IEnumerable<(string Option, string? Path)> read)
    {
        var taken = new Dictionary<string, string>(StringComparer.Ordinal);
        foreach (var (option, path) in read.Where(file => file.Path is not null))
        {
            taken.TryAdd(Path.GetFullPath(path!), option);
        }

        foreach (var (option, path) in written.Where(file => file.Path is not null))
        {
            if (path!.Length == 0 || Directory.Exists(path))
            {
                throw new IOException($"{option}: expected a file, found the folder {path}");
            }

            if (!taken.TryAdd(Path.GetFullPath(path), option))
            {
                throw new IOException(
                    $"{option}: {path} would write over the file of {taken[Path.GetFullPath(path)]}: choose another name");
            }
        }
    }
}
