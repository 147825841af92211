using Reft.Internal;

namespace Reft;

/// <summary>Text ↔ token ids, as a model's <c>tokenizer.json</c> defines them.</summary>
public sealed class ModelTokenizer
{
    internal ModelTokenizer(Core.TextTokenizer value) => Value = value;

    /// <summary>The number of tokens, added ones included.</summary>
    public int VocabularySize => Value.VocabularySize;

    /// <summary>Beginning of sequence, if the tokenizer names one.</summary>
    public int? BosId => Value.BosId.ToNullable();

    /// <summary>End of sequence, if the tokenizer names one.</summary>
    public int? EosId => Value.EosId.ToNullable();

    internal Core.TextTokenizer Value { get; }

    /// <summary>The ids of a text.</summary>
    /// <param name="text">The text; special tokens written out in it become their ids.</param>
    /// <param name="addSpecial">Whether to add what the tokenizer puts before and after a text, e.g. BOS.</param>
    public IReadOnlyList<int> Encode(string text, bool addSpecial = true) => Value.Encode(text, addSpecial);

    /// <summary>The ids of a prompt: with what the tokenizer puts before a text, e.g. BOS, and without what it puts after.</summary>
    public IReadOnlyList<int> EncodePrompt(string text) => Value.EncodePrompt(text);

    /// <summary>The ids of a text that follows a prompt: nothing is put around it.</summary>
    public IReadOnlyList<int> EncodeCompletion(string text) => Value.EncodeCompletion(text);

    /// <summary>The text of ids.</summary>
    /// <param name="ids">The ids; one that no token has stands for nothing.</param>
    /// <param name="skipSpecial">Whether special tokens are left out.</param>
    public string Decode(IEnumerable<int> ids, bool skipSpecial = true) => Value.Decode(ids, skipSpecial);
}
