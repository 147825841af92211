using System.Buffers;
using System.Diagnostics;
using System.Globalization;
using System.Reflection;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;

namespace Reft.Cli;

/// <summary>A run of <c>reft train</c> ended without a result.</summary>
internal sealed class FailedRunException(string message) : Exception(message);

/// <summary>What one run gave.</summary>
internal sealed record ComparedRun(
    string Method,
    long Seed,
    double Loss,
    double? Accuracy,
    double? F1,
    double? Matthews,
    double? Pearson,
    double? Spearman,
    long TrainableParameters,
    double TrainablePercent,
    long? HeadParameters,
    int Steps,
    double Seconds,
    long PeakMemoryBytes);

/// <summary>
/// Runs of <c>reft train</c>, each in a process of its own so that its peak memory is its own, with their results in files: a
/// run whose result is there, with the same options and data, is not run again.
/// </summary>
/// <param name="folder">Where the results are.</param>
/// <param name="shared">The arguments that all runs have in common.</param>
/// <param name="data">The files of rows, whose contents are part of what a result is of.</param>
/// <param name="keepAdapters">Whether the adapters stay.</param>
internal sealed class ComparedRuns(string folder, IReadOnlyList<string> shared, IReadOnlyList<string> data, bool keepAdapters)
{
    private readonly Lazy<string[]> _hashes = new(() => [.. data.Select(HashOf)]);

    /// <summary>The result of a run, and whether it was run now.</summary>
    /// <exception cref="FailedRunException">The run failed; the message is its own.</exception>
    /// <exception cref="OperationCanceledException">It was stopped.</exception>
    public async Task<(ComparedRun Run, bool IsNew)> RunAsync(string method, long seed, CancellationToken stop)
    {
        stop.ThrowIfCancellationRequested();
        string[] settings = [.. shared, "--method", method, "--seed", seed.ToString(CultureInfo.InvariantCulture)];
        var name = NameOf(method, seed);
        var file = Path.Combine(folder, name + ".json");
        if (Earlier(file, settings) is { } earlier)
        {
            return (ReadOutcome(method, seed, earlier), false);
        }

        var adapter = Path.Combine(folder, name);
        var text = await TrainAsync([.. settings, "--output", adapter, "--json"], stop).ConfigureAwait(false);
        using var outcome = JsonDocument.Parse(text);
        var run = ReadOutcome(method, seed, outcome.RootElement);
        WriteAtomically(file, json =>
        {
            WriteTexts(json, "settings", settings);
            WriteTexts(json, "data", _hashes.Value);
            json.WritePropertyName("outcome");
            outcome.RootElement.WriteTo(json);
        });
        if (!keepAdapters && Directory.Exists(adapter))
        {
            Directory.Delete(adapter, recursive: true);
        }

        return (run, true);
    }

    /// <summary>A file with one JSON object, complete or not there.</summary>
    public static void WriteAtomically(string path, Action<Utf8JsonWriter> writeFields)
    {
        var text = new ArrayBufferWriter<byte>();
        using (var json = new Utf8JsonWriter(text, new JsonWriterOptions { Indented = true }))
        {
            json.WriteStartObject();
            writeFields(json);
            json.WriteEndObject();
        }

        Directory.CreateDirectory(Path.GetDirectoryName(Path.GetFullPath(path))!);
        var draft = path + ".tmp";
        File.WriteAllBytes(draft, text.WrittenSpan.ToArray());
        File.Move(draft, path, overwrite: true);
    }

    private static void WriteTexts(Utf8JsonWriter json, string name, IEnumerable<string> texts) => json.WriteTexts(name, texts);

    // Readable, and no two alike.
    private static string NameOf(string method, long seed)
    {
        var shown = string.Concat(method.Select(c => char.IsAsciiLetterOrDigit(c) || c is '=' or '-' or '.' ? c : '_'));
        var hash = Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(method)))[..8];
        return string.Create(CultureInfo.InvariantCulture, $"{(shown.Length > 60 ? shown[..60] : shown)}-{hash}-seed{seed}");
    }

    private static string HashOf(string path)
    {
        using var file = File.OpenRead(path);
        return Convert.ToHexStringLower(SHA256.HashData(file));
    }

    // The result in a file, if it is one of the same settings and data; one that cannot be read is run again.
    private JsonElement? Earlier(string file, string[] settings)
    {
        if (!File.Exists(file))
        {
            return null;
        }

        try
        {
            using var found = JsonDocument.Parse(File.ReadAllBytes(file));
            return Texts(found, "settings").SequenceEqual(settings) && Texts(found, "data").SequenceEqual(_hashes.Value)
                ? found.RootElement.GetProperty("outcome").Clone()
                : null;
        }
        catch (Exception e) when (e is JsonException or KeyNotFoundException or InvalidOperationException)
        {
            Terminal.Say($"{file} is damaged and is made again: {e.Message}");
            return null;
        }

        static IEnumerable<string?> Texts(JsonDocument found, string name) =>
            [.. found.RootElement.GetProperty(name).EnumerateArray().Select(text => text.GetString())];
    }

    private static ComparedRun ReadOutcome(string method, long seed, JsonElement outcome)
    {
        try
        {
            var evaluation = outcome.GetProperty("evaluation");
            return new ComparedRun(
                method,
                seed,
                evaluation.GetProperty("after").GetDouble(),
                After("accuracy"),
                After("f1"),
                After("matthews"),
                After("pearson"),
                After("spearman"),
                outcome.GetProperty("trainable_parameters").GetInt64(),
                outcome.GetProperty("trainable_percent").GetDouble(),
                outcome.TryGetProperty("head_parameters", out var head) ? head.GetInt64() : null,
                outcome.GetProperty("steps").GetInt32(),
                outcome.GetProperty("seconds").GetDouble(),
                outcome.GetProperty("peak_memory_bytes").GetInt64());

            double? After(string name) =>
                evaluation.TryGetProperty(name, out var pair) && pair.GetProperty("after").ValueKind == JsonValueKind.Number
                    ? pair.GetProperty("after").GetDouble()
                    : null;
        }
        catch (Exception e) when (e is KeyNotFoundException or InvalidOperationException or FormatException)
        {
            throw new FailedRunException($"its outcome is not one of reft train: {e.Message}");
        }
    }

    private static async Task<string> TrainAsync(string[] arguments, CancellationToken stop)
    {
        var start = new ProcessStartInfo { RedirectStandardOutput = true, RedirectStandardError = true, StandardOutputEncoding = Encoding.UTF8 };
        foreach (var argument in (string[])[.. Self(start), "train", .. arguments])
        {
            start.ArgumentList.Add(argument);
        }

        using var process = Process.Start(start) ?? throw new FailedRunException("reft could not be started");
        try
        {
            var errors = process.StandardError.ReadToEndAsync(stop);
            var output = await process.StandardOutput.ReadToEndAsync(stop).ConfigureAwait(false);
            await process.WaitForExitAsync(stop).ConfigureAwait(false);
            return process.ExitCode == ExitCode.Success
                ? output
                : throw new FailedRunException(LastLine(await errors.ConfigureAwait(false)) ?? $"exit code {process.ExitCode}");
        }
        catch (OperationCanceledException)
        {
            // A run whose result nobody waits for.
            process.Kill(entireProcessTree: true);
            throw;
        }
    }

    // This program: an executable, or an assembly that dotnet runs.
    private static string[] Self(ProcessStartInfo start)
    {
        var program = Environment.ProcessPath ?? throw new FailedRunException("the path of this program is not known");
        start.FileName = program;
        return Path.GetFileNameWithoutExtension(program) == "dotnet" ? [Assembly.GetExecutingAssembly().Location] : [];
    }

    private static string? LastLine(string text) =>
        text.Split('\n', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries) is [.., var last] ? last : null;
}
