namespace Reft.Core

open System
open System.Collections.Generic
open System.IO
open System.Text

/// <summary>
/// Unigram: of all ways to cut a piece into tokens the one whose scores add up highest. Of two that end a token at the same
/// place with the same score, the one whose last token is longer, as in Hugging Face's tokenizers.
/// </summary>
[<RequireQualifiedAccess>]
module internal UnigramModel =

    /// What decides the tokens, whatever file it comes from.
    [<NoEquality; NoComparison>]
    type Options =
        {
            /// Named in complaints.
            File: string
            Tokens: (string * float)[]
            Unknown: int option
            ByteFallback: bool
            Bytes: bool
        }

    /// How much worse than the worst token an unknown character is.
    let private unknownPenalty = 10.0

    /// Ten times the characters of the largest vocabulary in use: the tree takes memory in proportion.
    let longestVocabulary = 1L <<< 24

    /// The tokens as a tree: from a node and a character to the node below; a node's token, or −1.
    [<Sealed>]
    type private Tree(tokens: (string * float)[]) =
        let below = PairTable(1 + (tokens |> Array.sumBy (fun (token, _) -> token.Length)))
        let ids = ResizeArray [ -1 ]

        do
            tokens
            |> Array.iteri (fun id (token, _) ->
                let mutable node = 0

                for c in token do
                    match below.Find(node, int c) with
                    | -1L ->
                        ids.Add -1
                        below.Set(node, int c, int64 (ids.Count - 1))
                        node <- ids.Count - 1
                    | next -> node <- int next

                ids[node] <- id)

        let ids = ids.ToArray()

        member _.Below(node: int, c: char) : int = int (below.Find(node, int c))
        member _.Id(node: int) : int = ids[node]

    /// Where the best cut of everything up to a place has its last token: its start, its id, and the score so far.
    [<Struct; NoEquality; NoComparison>]
    type private Best = { Start: int; Id: int; Score: float }

    let private none = { Start = -1; Id = -1; Score = 0.0 }

    /// The best last token at each end, for a piece.
    let private paths (tree: Tree) (scores: float[]) (unknownScore: float) (unknown: int) (text: ReadOnlySpan<char>) =
        let best = Array.create (text.Length + 1) none
        let mutable start = 0

        while start < text.Length do
            let size =
                if Char.IsHighSurrogate text[start] && start + 1 < text.Length then
                    2
                else
                    1

            let sofar = best[start].Score
            let mutable single = false
            let mutable node = 0
            let mutable stop = start

            while node >= 0 && stop < text.Length do
                node <- tree.Below(node, text[stop])
                stop <- stop + 1

                if node >= 0 && tree.Id node >= 0 then
                    let score = scores[tree.Id node] + sofar

                    if best[stop].Start < 0 || score > best[stop].Score then
                        best[stop] <-
                            { Start = start
                              Id = tree.Id node
                              Score = score }

                    if stop - start = size then
                        single <- true

            if not single then
                let score = unknownScore + sofar

                if best[start + size].Start < 0 || score > best[start + size].Score then
                    best[start + size] <-
                        { Start = start
                          Id = unknown
                          Score = score }

            start <- start + size

        best

    /// The parts of a piece, last first: neighbouring unknown characters are one part.
    let private partsOf (unknown: int) (best: Best[]) : ResizeArray<struct (int * int)> =
        let parts = ResizeArray<struct (int * int)>()
        let mutable stop = best.Length - 1
        let mutable afterUnknown = false

        while stop > 0 do
            let last = best[stop]

            if afterUnknown && last.Id = unknown then
                let struct (_, until) = parts[parts.Count - 1]
                parts[parts.Count - 1] <- struct (last.Start, until)
            else
                parts.Add(struct (last.Start, stop))

            afterUnknown <- last.Id = unknown
            stop <- last.Start

        parts

    /// The model that options describe.
    let ofOptions (options: Options) : TokenModel =
        let ids = Dictionary<string, int>(options.Tokens.Length, StringComparer.Ordinal)
        let tokens = Dictionary<int, string> options.Tokens.Length

        options.Tokens
        |> Array.iteri (fun id (token, _) ->
            ids[token] <- id
            tokens[id] <- token)

        let vocabulary = { Ids = ids; Tokens = tokens }
        let tree = Tree options.Tokens
        let scores = options.Tokens |> Array.map snd
        let unknownScore = Array.min scores - unknownPenalty
        let unknown = options.Unknown |> Option.defaultValue -1

        let byteTokens =
            if options.ByteFallback then
                Some(TokenModel.byteTokens vocabulary)
            else
                None

        let bytesOf (part: string) : int[] option =
            byteTokens
            |> Option.bind (fun tokens ->
                let ids = Encoding.UTF8.GetBytes part |> Array.map (fun b -> tokens[int b])
                if ids |> Array.contains -1 then None else Some ids)

        let tokenise (slice: Slice) (result: ResizeArray<int>) =
            let text =
                if options.Bytes then
                    ByteLevel.ofText (slice.ToString())
                else
                    slice.ToString()

            let parts =
                paths tree scores unknownScore unknown (text.AsSpan()) |> partsOf unknown

            for i in parts.Count - 1 .. -1 .. 0 do
                let struct (start, stop) = parts[i]
                let part = text.Substring(start, stop - start)

                match ids.TryGetValue part, bytesOf part with
                | (true, id), _ -> result.Add id
                | _, Some bytes -> result.AddRange bytes
                | _ when unknown >= 0 -> result.Add unknown
                | _ ->
                    raise (
                        InvalidDataException
                            $"{options.File}: the vocabulary has no token for '{part}', and no unknown token (unk_id)"
                    )

        let memory = WordMemory tokenise

        { Tokenise = fun slice result -> memory.Tokenise slice result
          Vocabulary = vocabulary }

    let private readToken (node: FileNode) : string * float =
        match node |> FileNode.items |> Seq.truncate 3 |> Seq.toList with
        | [ token; score ] -> FileNode.string token, FileNode.float score
        | _ -> FileNode.fail node "expected a token and its score"

    /// The model that a node describes.
    let read (bytes: bool) (node: FileNode) : TokenModel =
        node |> FileNode.only [ "type"; "unk_id"; "vocab"; "byte_fallback" ]
        let vocabulary = node |> FileNode.get "vocab"
        let tokens = vocabulary |> FileNode.items |> Seq.map readToken |> Seq.toArray

        if tokens.Length = 0 then
            FileNode.fail vocabulary "the vocabulary is empty"

        let characters = tokens |> Array.sumBy (fun (token, _) -> int64 token.Length)

        if characters > longestVocabulary then
            FileNode.fail
                vocabulary
                $"the tokens have {characters} characters in all: expected at most {longestVocabulary}"

        ofOptions
            { File = node.File
              Tokens = tokens
              Unknown =
                node
                |> FileNode.tryGet "unk_id"
                |> Option.map (fun unknown ->
                    match FileNode.natural unknown with
                    | id when id < tokens.Length -> id
                    | id ->
                        FileNode.fail
                            unknown
                            $"expected an id of the {tokens.Length} tokens of the vocabulary, found {id}")
              ByteFallback = node |> FileNode.flag "byte_fallback" false
              Bytes = bytes }
