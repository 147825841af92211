using System.Globalization;
using System.Security.Cryptography;
using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Serialization;
using BaseModel;

namespace Reft.Reproduction;

/// <summary>The results of runs, a file each, and what failed ones said.</summary>
/// <param name="folder">The folder that holds <c>runs/</c> and <c>failed/</c>.</param>
/// <param name="models">The folders of the models, whose files are part of what a result is of.</param>
internal sealed class RunFolder(string folder, IReadOnlyDictionary<string, string> models)
{
    private static readonly JsonSerializerOptions Layout = new() { WriteIndented = true };

    // As short as can be read: a committed file.
    private static readonly JsonSerializerOptions Short = new()
    {
        DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull,
        Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping,
    };

    private readonly Dictionary<string, string> _fingerprints = models.ToDictionary(
        model => model.Key, model => FingerprintOf(model.Value), StringComparer.Ordinal);

    private string Runs => Path.Combine(folder, "runs");

    /// <summary>What a result of a key depends on, as a hash; null where the model is not there.</summary>
    public string? Fingerprint(RunKey key, string studyVersion) =>
        _fingerprints.TryGetValue(key.Model, out var model)
            ? Hash($"{key}|{AllStudies.CodeVersion}|{AllStudies.DataVersion}|{studyVersion}|{model}")[..16]
            : null;

    /// <summary>Where the result of a run is, finished or not: readable, and no two alike.</summary>
    public string PathOf(RunKey key, string fingerprint)
    {
        var settings = string.Join('-', key.Settings.Select(setting => $"{setting.Key}{setting.Value}"));
        var name = string.Concat($"{key.Study}-{key.Model}-{key.Task}-{key.Method}-{settings}".Select(
            c => char.IsAsciiLetterOrDigit(c) || c is '-' or '.' ? c : '_'));
        return Path.Combine(Runs, $"{(name.Length > 100 ? name[..100] : name)}-seed{key.Seed}-{fingerprint}.json");
    }

    /// <summary>The finished runs of present versions; damaged files are told of, and count as not there.</summary>
    public IReadOnlyList<FinishedRun> Read(IEnumerable<IStudy> studies)
    {
        var versions = studies.ToDictionary(study => study.Name, study => study.Version, StringComparer.Ordinal);
        var found = new List<FinishedRun>();
        if (!Directory.Exists(Runs))
        {
            return found;
        }

        foreach (var file in Directory.GetFiles(Runs, "*.json").Order(StringComparer.Ordinal))
        {
            try
            {
                Keep(JsonSerializer.Deserialize<FinishedRun>(File.ReadAllBytes(file)));
            }
            catch (JsonException e)
            {
                Console.Error.WriteLine($"{file} is damaged, and its run is done again: {e.Message}");
            }
        }

        return found;

        void Keep(FinishedRun? run)
        {
            if (run is not null && versions.TryGetValue(run.Key.Study, out var version)
                && run.Fingerprint == Fingerprint(run.Key, version))
            {
                found.Add(Rounded(run));
            }
        }
    }

    /// <summary>Reads a file of one run a line, as <see cref="WriteLines"/> writes it; runs of other versions are left out.</summary>
    public IReadOnlyList<FinishedRun> ReadLines(string path, IEnumerable<IStudy> studies)
    {
        var versions = studies.ToDictionary(study => study.Name, study => study.Version, StringComparer.Ordinal);
        var found = new List<FinishedRun>();
        foreach (var (number, line) in File.ReadLines(path).Index())
        {
            FinishedRun run;
            try
            {
                run = JsonSerializer.Deserialize<FinishedRun>(line) ?? throw new JsonException("expected an object");
            }
            catch (JsonException e)
            {
                throw new InvalidDataException($"{path}, line {number + 1}: expected a finished run: {e.Message}", e);
            }

            if (versions.TryGetValue(run.Key.Study, out var version) && run.Fingerprint == Fingerprint(run.Key, version))
            {
                found.Add(Rounded(run));
            }
        }

        return found;
    }

    /// <summary>Writes one run a line, in the order of their keys.</summary>
    public static void WriteLines(string path, IEnumerable<FinishedRun> runs)
    {
        var text = string.Concat(runs
            .OrderBy(run => run.Key.ToString(), StringComparer.Ordinal)
            .Select(run => JsonSerializer.Serialize(Rounded(run), Short) + "\n"));
        AtomicFile.WriteText(path, text);
    }

    public void Write(FinishedRun run)
    {
        AtomicFile.WriteText(PathOf(run.Key, run.Fingerprint), JsonSerializer.Serialize(run, Layout));
        File.Delete(FailurePathOf(run.Key, run.Fingerprint));
    }

    /// <summary>Keeps what a run said that failed. It is tried again by the next command.</summary>
    public void WriteFailure(RunKey key, string fingerprint, string message) =>
        AtomicFile.WriteText(FailurePathOf(key, fingerprint), JsonSerializer.Serialize(new { key = key.ToString(), message }, Layout));

    // Counts as they are, the rest to six digits: more than the tables show. Rounded wherever they are read, so that what is
    // equal in the file of the page is equal in the folder of runs, and the same rate is chosen from both.
    private static FinishedRun Rounded(FinishedRun run) => run with
    {
        Result = run.Result with { Numbers = run.Result.Numbers.ToDictionary(number => number.Key, number => Digits(number.Value)) },
        Seconds = Digits(run.Seconds),
        PeakMegabytes = Digits(run.PeakMegabytes),
    };

    private static double Digits(double number) => double.IsInteger(number)
        ? number
        : double.Parse(number.ToString("G6", CultureInfo.InvariantCulture), CultureInfo.InvariantCulture);

    private string FailurePathOf(RunKey key, string fingerprint)
    {
        Directory.CreateDirectory(Path.Combine(folder, "failed"));
        return Path.Combine(folder, "failed", Path.GetFileName(PathOf(key, fingerprint)));
    }

    private static string FingerprintOf(string model)
    {
        var files = Directory.GetFiles(model)
            .Where(file => Path.GetExtension(file) is ".json" or ".safetensors")
            .Order(StringComparer.Ordinal)
            .Select(file =>
            {
                using var bytes = File.OpenRead(file);
                return $"{Path.GetFileName(file)}:{Convert.ToHexStringLower(SHA256.HashData(bytes))}";
            });
        return Hash(string.Join('\n', files));
    }

    private static string Hash(string text) => Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(text)));
}
