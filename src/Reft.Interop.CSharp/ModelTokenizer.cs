using Reft.Internal;

namespace Reft;

/// <summary>
/// Text ↔ token ids, as a model's <c>tokenizer.json</c> or <c>tokenizer.model</c> defines them. Immutable, and safe to use
/// from several threads.
/// </summary>
public sealed class ModelTokenizer
{
    internal ModelTokenizer(Core.TextTokenizer value) => Value = value;

    /// <summary>The number of tokens, added ones included.</summary>
    public int VocabularySize => Value.VocabularySize;

    /// <summary>Beginning of sequence, if the tokenizer names one.</summary>
    public int? BosId => Value.BosId.ToNullable();

    /// <summary>End of sequence, if the tokenizer names one.</summary>
    public int? EosId => Value.EosId.ToNullable();

    /// <summary>Padding, if the tokenizer names it.</summary>
    public int? PadId => Value.PadId.ToNullable();

    internal Core.TextTokenizer Value { get; }

    /// <summary>
    /// Loads a tokenizer by itself, without a model and without libtorch: BPE, WordPiece, WordLevel and Unigram from Hugging
    /// Face's <c>tokenizer.json</c>, BPE and Unigram from SentencePiece's <c>tokenizer.model</c>. The
    /// <c>tokenizer_config.json</c> beside it is read too, if there is one.
    /// </summary>
    /// <param name="path">One of these files, or a folder with one; of both in a folder, <c>tokenizer.json</c>.</param>
    /// <exception cref="FileNotFoundException">There is neither.</exception>
    /// <exception cref="InvalidDataException">
    /// The file is damaged, or of a kind that is not supported: the message names the file and the place in it.
    /// </exception>
    public static ModelTokenizer Load(string path)
    {
        ArgumentNullException.ThrowIfNull(path);
        return new ModelTokenizer(Core.TokenizerFile.load(path));
    }

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

    /// <summary>The id of a token as the vocabulary spells it, e.g. <c>Ġthe</c>; null if there is none.</summary>
    public int? TokenToId(string token) => Value.TokenToId(token).ToNullable();

    /// <summary>The token of an id, as the vocabulary spells it; null if there is none.</summary>
    public string? IdToToken(int id) => Value.IdToToken(id)?.Value;

    /// <summary>Whether a token is a special one, such as the end of sequence.</summary>
    public bool IsSpecial(int id) => Value.IsSpecial(id);
}
