namespace BaseModel.Tokenizer;

/// <summary>The tokens that are not text. Their ids are their places in this list, before all others.</summary>
internal static class SpecialTokens
{
    public const string Bos = "<|bos|>";
    public const string Eos = "<|eos|>";
    public const string Pad = "<|pad|>";

    public const int BosId = 0;
    public const int EosId = 1;

    public static readonly IReadOnlyList<string> All = [Bos, Eos, Pad];
}
