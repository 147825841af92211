namespace BaseModel.Corpus;

/// <summary>
/// The corpus on disk: UTF-8, passages separated by a blank line, the paragraphs of a passage on lines of their own.
/// </summary>
internal static class CorpusFile
{
    private const string Separator = "\n\n";

    /// <summary>
    /// Whether passage number <paramref name="index"/> is kept for validation: one in a hundred, evenly over all years
    /// and chapters. The tokenizer and the model never see it in training.
    /// </summary>
    public static bool IsHeldOut(int index) => index % 100 == 50;

    public static void Write(string path, IEnumerable<string> passages) =>
        AtomicFile.WriteText(path, string.Join(Separator, passages) + "\n");

    /// <exception cref="InvalidDataException">The file holds no passage.</exception>
    public static IReadOnlyList<string> Read(string path)
    {
        string[] passages = File.ReadAllText(path).TrimEnd('\n').Split(Separator, StringSplitOptions.RemoveEmptyEntries);
        return passages.Length > 0
            ? passages
            : throw new InvalidDataException($"{path} holds no passage; write it with the subcommand 'corpus'");
    }

    /// <summary>The passages for training and those held out, each in the order of the file.</summary>
    public static (IReadOnlyList<string> Train, IReadOnlyList<string> Validation) ReadSplit(string path)
    {
        ILookup<bool, string> split = Read(path).Index().ToLookup(entry => IsHeldOut(entry.Index), entry => entry.Item);
        return ([.. split[false]], [.. split[true]]);
    }
}
