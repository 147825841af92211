namespace Reft.Reproduction;

/// <summary>A text before the split.</summary>
/// <param name="Text">What the model reads.</param>
/// <param name="Label">Its label.</param>
/// <param name="Source">The file it comes from, or the word list.</param>
/// <param name="Keys">
/// What it has in common with texts that may not stand on the other side of the split: its document, its thread, its stem.
/// The normalised text itself is always one of them.
/// </param>
internal sealed record LabelledText(string Text, string Label, string Source, IReadOnlyList<string> Keys)
{
    /// <summary>The text in lower case, its letters alone: two texts that differ only in blanks, digits and punctuation are one.</summary>
    public string Normalised { get; } = string.Concat(Text.Where(char.IsLetter).Select(char.ToLowerInvariant));
}
