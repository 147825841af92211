using System.Globalization;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;

namespace Reft.Internal;

/// <summary>The results of a sweep on the disk: <c>sweep.json</c> says what is searched, and each run has a file.</summary>
internal sealed class SweepFolder
{
    private const string Manifest = "sweep.json";
    private const int Format = 1;
    private static readonly JsonSerializerOptions Indented = new() { WriteIndented = true };

    private readonly string _path;

    private SweepFolder(string path) => _path = path;

    /// <summary>Opens a folder, or makes it.</summary>
    /// <exception cref="InvalidDataException">It holds another sweep.</exception>
    public static SweepFolder Open(string path, SweepOptions options, IReadOnlyList<string[]> candidates)
    {
        var manifest = Path.Combine(path, Manifest);
        var asked = Described(options, candidates);
        if (File.Exists(manifest))
        {
            var found = ReadObject(manifest);
            foreach (var name in asked.Select(fact => fact.Key).Union(found.Select(fact => fact.Key)))
            {
                if (!JsonNode.DeepEquals(asked[name], found[name]))
                {
                    throw new InvalidDataException(
                        $"{manifest}: expected '{name}' to be {Shown(asked[name])} as in this sweep, found {Shown(found[name])}: choose another folder, or the settings that it was begun with");
                }
            }
        }
        else
        {
            Save(manifest, asked);
        }

        return new SweepFolder(path);
    }

    /// <summary>The result of a run, if it is there and the run did not fail.</summary>
    /// <exception cref="InvalidDataException">Its file is damaged, or of another run.</exception>
    public SweepTrialResult? Read(SweepTrial trial)
    {
        var file = FileOf(trial);
        if (!File.Exists(file))
        {
            return null;
        }

        var json = ReadObject(file);
        foreach (var (name, value) in Facts(trial))
        {
            if (!JsonNode.DeepEquals(json[name], value))
            {
                throw new InvalidDataException(
                    $"{file}: expected '{name}' to be {Shown(value)}, found {Shown(json[name])}: it is no result of this run; remove it and the run is repeated");
            }
        }

        // What failed is tried again: its cause may be gone.
        if (json["problem"] is not null)
        {
            return null;
        }

        return new SweepTrialResult(
            trial,
            json["value"] is null ? double.NaN : Number("value"),
            TimeSpan.FromTicks((long)Math.Round(Math.Clamp(Number("seconds"), 0, 1e9) * TimeSpan.TicksPerSecond)),
            null);

        double Number(string name) =>
            json[name] is JsonValue value && value.TryGetValue<double>(out var number) && double.IsFinite(number)
                ? number
                : throw new InvalidDataException($"{file}: expected '{name}' to be a number, found {Shown(json[name])}");
    }

    /// <summary>Keeps the result of a run.</summary>
    public void Write(SweepTrialResult result)
    {
        var json = Facts(result.Trial);
        json["value"] = double.IsNaN(result.Value) ? null : result.Value;
        json["seconds"] = result.Duration.TotalSeconds;
        json["problem"] = result.Problem;
        Save(FileOf(result.Trial), json);
    }

    private static JsonObject Described(SweepOptions options, IReadOnlyList<string[]> candidates)
    {
        var text = string.Join('\n', candidates.Select(candidate => string.Join('\t', candidate)));
        return new JsonObject
        {
            ["format"] = Format,
            ["axes"] = Object(options.Axes.Select(axis => KeyValuePair.Create(axis.Name, axis.Value.Values.ToString()))),
            ["candidates"] = candidates.Count,
            ["candidates_sha256"] = Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(text))),
            ["eta"] = options.Eta,
            ["min_budget"] = options.MinBudget,
            ["max_budget"] = options.MaxBudget,
            ["higher_is_better"] = options.HigherIsBetter,
            ["fixed"] = Object(options.Fixed),
        };
    }

    private static JsonObject Facts(SweepTrial trial) =>
        new()
        {
            ["candidate"] = trial.Candidate,
            ["rung"] = trial.Rung,
            ["budget"] = trial.Budget,
            ["settings"] = Object(trial.Settings),
        };

    private static JsonObject Object(IEnumerable<KeyValuePair<string, string>> facts)
    {
        var json = new JsonObject();
        foreach (var (name, value) in facts)
        {
            json[name] = value;
        }

        return json;
    }

    private static JsonObject ReadObject(string file)
    {
        try
        {
            return JsonNode.Parse(File.ReadAllText(file)) as JsonObject
                ?? throw new InvalidDataException($"{file}: expected a JSON object, found something else");
        }
        catch (Exception e) when (e is JsonException or ArgumentException)
        {
            throw new InvalidDataException($"{file}: expected a JSON object: {e.Message}", e);
        }
    }

    private static void Save(string file, JsonObject json)
    {
        Action<Stream> write = stream => stream.Write(Encoding.UTF8.GetBytes(json.ToJsonString(Indented) + "\n"));
        Core.AtomicFile.write(file, write.ToFSharpFunc());
    }

    private static string Shown(JsonNode? value) => value?.ToJsonString() ?? "nothing";

    private string FileOf(SweepTrial trial) =>
        Path.Combine(_path, string.Create(CultureInfo.InvariantCulture, $"trial-{trial.Candidate:00000}-rung-{trial.Rung:00}.json"));
}
