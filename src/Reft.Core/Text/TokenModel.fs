namespace Reft.Core

open System.Collections.Generic

/// <summary>
/// What every kind of vocabulary comes down to: one file per kind reads its node of tokenizer.json into this.
/// </summary>
[<NoEquality; NoComparison>]
type internal TokenModel =
    { /// The tokens of one piece, as the pre-tokenizer left it.
      Tokenise: string -> int[]
      /// Token → id, added tokens not included.
      Vocabulary: Dictionary<string, int> }

/// Reading a vocabulary, whatever its kind.
[<RequireQualifiedAccess>]
module internal TokenModel =

    /// The largest id, far beyond any model's: a file must not make tables of any size that it likes.
    let idLimit = 1 <<< 24

    /// A token id below the limit.
    let boundedId (node: FileNode) : int =
        let id = FileNode.id node

        if id >= idLimit then
            FileNode.fail node $"expected a token id below {idLimit}, found {id}"

        id

    /// `{"token": id, …}`, each token and each id once.
    let readVocabulary (node: FileNode) : Dictionary<string, int> =
        let vocabulary = Dictionary<string, int>()
        let seen = Dictionary<int, string>()

        for token, value in FileNode.members node do
            let id = boundedId value

            if not (seen.TryAdd(id, token)) then
                FileNode.fail value $"the id {id} is the token '{seen[id]}' already"

            vocabulary[token] <- id

        if vocabulary.Count = 0 then
            FileNode.fail node "the vocabulary is empty"

        vocabulary
