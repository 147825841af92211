using System.Text.Json;
using System.Text.Json.Nodes;
using Reft.Internal;

namespace Reft;

/// <summary>
/// One experiment of the paper as data: a task, a method and its places, how it is trained, by which seeds, how answers are
/// decoded, and the figures that the paper reports. A recipe is a JSON file, in which comments are allowed; those of the paper
/// are part of the library.
/// </summary>
public sealed partial class Recipe
{
    private readonly JsonObject _json;

    private Recipe(string name, JsonObject json, RecipeReader reader)
    {
        Name = name;
        _json = json;
        Title = reader.Text("title");
        Task = reader.Text("task");
        BaseModel = reader.Text("base_model");
        Dtype = reader.Dtype("dtype");
        Method = reader.Method();
        Training = reader.Training();
        Seeds = reader.Seeds();
        Decoding = reader.Decoding();
        EvaluationBatchSize = reader.Count("evaluation_batch_size");
        Paper = reader.Paper();
        Notes = reader.Notes();
        Unknown = reader.Unknown();
        reader.End();
    }

    /// <summary>The recipes of the library, by name.</summary>
    public static IReadOnlyList<Recipe> All => RecipeFiles.Shipped.Value;

    /// <summary>Its name, e.g. <c>commonsense-loreft-llama-7b</c>.</summary>
    public string Name { get; }

    /// <summary>What it is, in one line.</summary>
    public string Title { get; }

    /// <summary>The task's name: one of <see cref="EvaluationTask.All"/>, or <c>glue/</c> and a task of GLUE.</summary>
    public string Task { get; }

    /// <summary>The model that the paper trained.</summary>
    public string BaseModel { get; }

    /// <summary>The numbers it computed in.</summary>
    public ModelDtype Dtype { get; }

    /// <summary>What is trained.</summary>
    public RecipeMethod Method { get; }

    /// <summary>How.</summary>
    public RecipeTraining Training { get; }

    /// <summary>One run for each.</summary>
    public IReadOnlyList<long> Seeds { get; }

    /// <summary>How answers are decoded; null in a classification.</summary>
    public RecipeDecoding? Decoding { get; }

    /// <summary>Rows that are evaluated together.</summary>
    public int EvaluationBatchSize { get; }

    /// <summary>What the paper reports.</summary>
    public PaperFigures? Paper { get; }

    /// <summary>What else there is to know.</summary>
    public IReadOnlyList<string> Notes { get; }

    /// <summary>
    /// The settings that neither the paper nor pyreft states, as far as this project knows, by their keys, each with what is
    /// known of it. A recipe with any cannot be run until <see cref="With"/> gives them values.
    /// </summary>
    public IReadOnlyDictionary<string, string> Unknown { get; }

    /// <summary>The recipe of a name.</summary>
    /// <exception cref="ArgumentException">There is none of that name.</exception>
    public static Recipe Named(string name) =>
        All.FirstOrDefault(recipe => recipe.Name == name)
        ?? throw new ArgumentException($"there is no recipe '{name}': `reft run --list` shows those there are, and a file is given by its path", nameof(name));

    /// <summary>Reads a recipe from a file; its name is the file's. Of a file with variants, those are read by <see cref="LoadAll"/>.</summary>
    /// <exception cref="FileNotFoundException">There is no such file.</exception>
    /// <exception cref="InvalidDataException">It is no recipe: the message names the file and the key.</exception>
    public static Recipe Load(string path) =>
        LoadAll(path) is [var only]
            ? only
            : throw new InvalidDataException($"{path}: it holds several recipes, of which none is chosen: read it with LoadAll");

    /// <summary>Reads the recipes of a file: one, or one for each of its variants.</summary>
    /// <exception cref="FileNotFoundException">There is no such file.</exception>
    /// <exception cref="InvalidDataException">It is no recipe: the message names the file and the key.</exception>
    public static IReadOnlyList<Recipe> LoadAll(string path) =>
        File.Exists(path)
            ? RecipeFiles.Load(path)
            : throw new FileNotFoundException($"there is no recipe {path}: expected a JSON file", path);

    /// <summary>Reads a recipe from its JSON.</summary>
    /// <param name="name">What it is called.</param>
    /// <param name="json">The JSON object.</param>
    /// <exception cref="InvalidDataException">It is no recipe: the message names the key.</exception>
    public static Recipe Parse(string name, string json) =>
        RecipeFiles.Parse(name, json, name) is [var only]
            ? only
            : throw new InvalidDataException($"{name}: expected one recipe, found variants");

    /// <summary>
    /// The recipe with other settings, by their keys in the file: <c>training.epochs</c> to <c>3</c>. Values are read as JSON
    /// where they are JSON, else as texts.
    /// </summary>
    /// <exception cref="InvalidDataException">There is no such key, or the value is not one for it.</exception>
    public Recipe With(IEnumerable<KeyValuePair<string, string>> settings)
    {
        var json = (JsonObject)_json.DeepClone();
        foreach (var (key, value) in settings)
        {
            RecipeFiles.Set(json, key, RecipeFiles.Value(value), Name);
        }

        return Of(Name, json, Name);
    }

    /// <summary>The recipe as JSON, with what was set.</summary>
    public string ToJson() => _json.ToJsonString(RecipeFiles.Indented);

    /// <summary>One line.</summary>
    public override string ToString() => $"{Name}: {Title}";

    internal static Recipe Of(string name, JsonObject json, string source) => new(name, json, new RecipeReader(json, source));

    /// <summary>What is set, without what only describes it: two recipes of the same settings train the same.</summary>
    internal JsonObject Settings()
    {
        var settings = (JsonObject)_json.DeepClone();
        foreach (var key in new[] { "title", "base_model", "paper", "notes", "unknown", "seeds", "evaluation_batch_size" })
        {
            settings.Remove(key);
        }

        return settings;
    }

    /// <summary>Refuses a recipe that is not complete.</summary>
    /// <exception cref="InvalidOperationException">A setting is not known.</exception>
    internal void CheckComplete()
    {
        if (Unknown.Count > 0)
        {
            var (key, why) = Unknown.First();
            throw new InvalidOperationException(
                $"the recipe {Name} does not know {string.Join(", ", Unknown.Keys)} ({key}: {why}): give a value with --set {key}=VALUE");
        }
    }
}
