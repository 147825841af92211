namespace Reft.Core

open System
open System.Collections.Concurrent
open System.Collections.Generic
open Microsoft.ML.Tokenizers

/// Byte-pair encoding: pieces start as characters, and the pair that the merge list names first is merged first.
[<RequireQualifiedAccess>]
module internal BytePairModel =

    /// The members of a BPE node.
    type private Options =
        { Vocabulary: Vocabulary
          Merges: (string * string)[]
          Unknown: string option
          FuseUnknown: bool
          IgnoreMerges: bool }

    /// A merge as `"a b"`, or as `["a", "b"]` in newer files.
    let private readMerge (node: FileNode) : string * string =
        match node.Value.ValueKind with
        | Text.Json.JsonValueKind.Array ->
            match node |> FileNode.items |> Seq.map FileNode.string |> Seq.toList with
            | [ left; right ] -> left, right
            | _ -> FileNode.fail node "expected a merge of two tokens"
        | _ ->
            let text = FileNode.string node

            match text.Split ' ' with
            | [| left; right |] when left <> "" && right <> "" -> left, right
            | _ -> FileNode.fail node $"expected a merge 'left right', found '{text}'"

    let private readMerges (vocabulary: Vocabulary) (node: FileNode) : (string * string)[] =
        let seen = HashSet<struct (string * string)>()

        let known node token =
            if not (vocabulary.Ids.ContainsKey token) then
                FileNode.fail node $"the merge names '{token}', which is not in the vocabulary"

        [| for merge in FileNode.items node do
               let left, right = readMerge merge
               known merge left
               known merge right
               known merge (left + right)

               // The library's merge list is a list of lines "left right".
               if left.Contains ' ' || right.Contains ' ' then
                   FileNode.fail merge "a token of the merge contains a space, which byte-level tokens never do"

               if not (seen.Add(struct (left, right))) then
                   FileNode.fail merge $"'{left} {right}' is in the list already"

               left, right |]

    let private readOptions (node: FileNode) : Options =
        node
        |> FileNode.only
            [ "type"
              "dropout"
              "unk_token"
              "continuing_subword_prefix"
              "end_of_word_suffix"
              "fuse_unk"
              "byte_fallback"
              "ignore_merges"
              "vocab"
              "merges" ]

        for name in [ "continuing_subword_prefix"; "end_of_word_suffix" ] do
            match node |> FileNode.tryGet name with
            | Some affix when FileNode.string affix <> "" -> FileNode.fail affix $"BPE with '{name}' is not supported"
            | _ -> ()

        match node |> FileNode.tryGet "dropout" with
        | Some dropout when dropout.Value.GetRawText() <> "0.0" && dropout.Value.GetRawText() <> "0" ->
            FileNode.fail dropout "BPE with dropout is not supported: it would give a text other tokens each time"
        | _ -> ()

        if node |> FileNode.flag "byte_fallback" false then
            FileNode.fail node "BPE with byte_fallback (SentencePiece's kind) is not supported: byte-level BPE is"

        let vocabulary = node |> FileNode.get "vocab" |> TokenModel.readVocabulary

        { Vocabulary = vocabulary
          Merges = node |> FileNode.get "merges" |> readMerges vocabulary
          Unknown =
            node
            |> FileNode.tryGet "unk_token"
            |> Option.map (fun unknown ->
                let token = FileNode.string unknown

                if not (vocabulary.Ids.ContainsKey token) then
                    FileNode.fail unknown $"the unknown token '{token}' is not in the vocabulary"

                token)
          FuseUnknown = node |> FileNode.flag "fuse_unk" false
          IgnoreMerges = node |> FileNode.flag "ignore_merges" false }

    let private library (options: Options) : BpeTokenizer =
        let settings = BpeOptions options.Vocabulary.Ids

        settings.Merges <-
            options.Merges
            |> Array.map (fun (left, right) -> String.Concat(left, " ", right))

        settings.UnknownToken <- Option.toObj options.Unknown
        settings.FuseUnknownTokens <- options.FuseUnknown
        BpeTokenizer.Create settings

    /// Pieces beyond this length are merged here: the library's time grows with the square of the length.
    let private longPiece = 512

    /// The same merges by a queue of candidate pairs, O(n log n) for a piece of n characters.
    let private mergeLong (options: Options) : string -> int[] =
        let id token = options.Vocabulary.Ids[token]

        let merges =
            Dictionary<struct (int * int), struct (int * int)>(options.Merges.Length)

        options.Merges
        |> Array.iteri (fun rank (left, right) ->
            merges[struct (id left, id right)] <- struct (rank, id (left + right)))

        let unknown = options.Unknown |> Option.map id

        let characters (piece: string) =
            let ids = ResizeArray<int> piece.Length
            let mutable afterUnknown = false

            for rune in piece.EnumerateRunes() do
                match options.Vocabulary.Ids.TryGetValue(rune.ToString()), unknown with
                | (true, known), _ ->
                    ids.Add known
                    afterUnknown <- false
                | _, Some unknown ->
                    if not (afterUnknown && options.FuseUnknown) then
                        ids.Add unknown

                    afterUnknown <- true
                | _ -> ()

            ids.ToArray()

        fun piece ->
            // A doubly linked list over arrays; a merged-away symbol is −1, and queue entries go stale with what they saw.
            let symbols = characters piece
            let n = symbols.Length
            let next = Array.init n (fun i -> i + 1)
            let previous = Array.init n (fun i -> i - 1)
            let queue = PriorityQueue<struct (int * int * int), struct (int * int)>()

            let consider left =
                if left >= 0 && next[left] < n then
                    let right = next[left]

                    match merges.TryGetValue(struct (symbols[left], symbols[right])) with
                    | true, struct (rank, _) ->
                        queue.Enqueue(struct (left, symbols[left], symbols[right]), struct (rank, left))
                    | _ -> ()

            for i in 0 .. n - 2 do
                consider i

            while queue.Count > 0 do
                let struct (left, a, b) = queue.Dequeue()
                let right = next[left]

                if symbols[left] = a && right < n && symbols[right] = b then
                    let struct (_, merged) = merges[struct (a, b)]
                    symbols[left] <- merged
                    symbols[right] <- -1
                    next[left] <- next[right]

                    if next[right] < n then
                        previous[next[right]] <- left

                    consider previous[left]
                    consider left

            symbols |> Array.filter (fun id -> id >= 0)

    /// Words repeat: what a word became is kept, for so many words and no more.
    let private remembering (limit: int) (tokenise: string -> int[]) : string -> int[] =
        let memory = ConcurrentDictionary<string, int[]>(StringComparer.Ordinal)
        let mutable room = limit

        fun piece ->
            match memory.TryGetValue piece with
            | true, ids -> ids
            | _ ->
                let ids = tokenise piece

                if room > 0 && piece.Length <= 64 && memory.TryAdd(piece, ids) then
                    Threading.Interlocked.Decrement &room |> ignore

                ids

    let private build (options: Options) : TokenModel =
        let bpe = library options
        // Few texts have such pieces: its table is built for the first.
        let long = lazy mergeLong options

        let merge (piece: string) =
            if piece.Length > longPiece then
                long.Value piece
            else
                bpe.EncodeToIds(piece, considerPreTokenization = false, considerNormalization = false)
                |> Seq.toArray

        let tokenise (piece: string) =
            match options.Vocabulary.Ids.TryGetValue piece with
            | true, id when options.IgnoreMerges -> [| id |]
            | _ -> merge piece

        { Tokenise = remembering 65536 tokenise
          Vocabulary = options.Vocabulary }

    /// The model that a node describes.
    let read (node: FileNode) : TokenModel = node |> readOptions |> build

    /// Both merge loops of a model, for the test that they agree.
    let mergeLoops (node: FileNode) : (string -> int[]) * (string -> int[]) =
        let options = readOptions node
        let bpe = library options
        (fun piece -> bpe.EncodeToIds(piece, false, false) |> Seq.toArray), mergeLong options
