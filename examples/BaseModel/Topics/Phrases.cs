namespace BaseModel.Topics;

/// <summary>
/// The parts of the sentences of one topic: who, did what, where or when. Any three make a sentence, in the past tense
/// so that singular and plural agree.
/// </summary>
internal sealed record Phrases(IReadOnlyList<string> Who, IReadOnlyList<string> What, IReadOnlyList<string> When)
{
    public IEnumerable<string> All => [.. Who, .. What, .. When];
}

/// <summary>
/// A topic, and its phrases for training and for the held-out rows. The name is the answer: a word of the corpus that is
/// one token with the blank before it.
/// </summary>
internal sealed record Topic(string Name, Phrases Train, Phrases HeldOut);
