namespace Reft.Core

open System
open System.Collections.Generic

/// The tokens that a model can give, both ways; added tokens are not among them. Read only.
[<NoEquality; NoComparison>]
type internal Vocabulary =
    { Ids: Dictionary<string, int>
      Tokens: Dictionary<int, string> }

/// <summary>
/// What every kind of vocabulary comes down to: one file per kind reads its node of tokenizer.json into this.
/// </summary>
[<NoEquality; NoComparison>]
type internal TokenModel =
    {
        /// Adds the tokens of one piece, as the pre-tokenizer left it.
        Tokenise: Slice -> ResizeArray<int> -> unit
        Vocabulary: Vocabulary
    }

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
    let readVocabulary (node: FileNode) : Vocabulary =
        let count = FileNode.count node
        let ids = Dictionary<string, int>(count, StringComparer.Ordinal)
        let tokens = Dictionary<int, string> count

        for token, value in FileNode.members node do
            let id = boundedId value

            if not (tokens.TryAdd(id, token)) then
                FileNode.fail value $"the id {id} is the token '{tokens[id]}' already"

            ids[token] <- id

        if ids.Count = 0 then
            FileNode.fail node "the vocabulary is empty"

        { Ids = ids; Tokens = tokens }

    /// The token that stands for what the vocabulary lacks.
    let readUnknown (vocabulary: Vocabulary) (node: FileNode) : int =
        let token = FileNode.string node

        match vocabulary.Ids.TryGetValue token with
        | true, id -> id
        | _ -> FileNode.fail node $"the unknown token '{token}' is not in the vocabulary"

    /// The tokens `<0x00>` … `<0xFF>` of a vocabulary with byte fallback; −1 for a byte that has none.
    let byteTokens (vocabulary: Vocabulary) : int[] =
        Array.init 256 (fun b ->
            match vocabulary.Ids.TryGetValue $"<0x{b:X2}>" with
            | true, id -> id
            | _ -> -1)
