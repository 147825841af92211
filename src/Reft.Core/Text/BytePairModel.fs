namespace Reft.Core

open System
open System.Collections.Generic
open System.Runtime.InteropServices
open System.Text

/// Byte-pair encoding: pieces start as characters, and the pair that the merge list names first is merged first.
[<RequireQualifiedAccess>]
module internal BytePairModel =

    /// What decides the tokens, whatever file it comes from.
    [<NoEquality; NoComparison>]
    type Options =
        {
            Vocabulary: Vocabulary
            /// Pairs of ids to rank and result.
            Merges: PairTable
            /// The token of a character that the vocabulary lacks; −1 leaves such a character out.
            Unknown: int
            FuseUnknown: bool
            /// Whether a piece that is a token is that token, whatever the merges make of it.
            IgnoreMerges: bool
            /// The tokens of the 256 bytes, for characters that the vocabulary lacks.
            ByteTokens: int[] option
            /// What a token has in front of it within a word, and behind it at the end of one.
            Prefix: string
            Suffix: string
            /// Whether pieces are spelled in the alphabet of `ByteLevel`.
            Bytes: bool
            /// The characters before which, besides a space, a space begins a part of its own; None if no such cut is exact.
            Joined: HashSet<char> option
        }

    /// A merge as `"a b"`, or as `["a", "b"]` in newer files.
    let private readMerge (node: FileNode) : struct (string * string) =
        match node.Value.ValueKind with
        | Text.Json.JsonValueKind.Array when node.Value.GetArrayLength() = 2 ->
            let parts = FileNode.items node |> Seq.map FileNode.string |> Seq.toArray
            struct (parts[0], parts[1])
        | Text.Json.JsonValueKind.Array -> FileNode.fail node "expected a merge of two tokens"
        | _ ->
            let text = FileNode.string node
            let space = text.IndexOf ' '

            if space < 1 || space = text.Length - 1 || text.LastIndexOf ' ' <> space then
                FileNode.fail node $"expected a merge 'left right', found '{text}'"

            struct (text.Substring(0, space), text.Substring(space + 1))

    /// <summary>
    /// Where texts without a pre-tokenizer may be cut all the same. A merge joins the end of its left token to the start of
    /// its right one; so between a character and U+2581 there is never a merge if no merge has them there. The cut is exact,
    /// and words can be remembered. The result collects the characters that do have one, merge by merge.
    /// </summary>
    [<Sealed>]
    type Joints(vocabulary: Vocabulary, isWhole: string -> bool) =
        let joined = HashSet<char>()
        let mutable exact = vocabulary.Ids.ContainsKey(string Metaspace.space)

        /// Takes a merge into account.
        member _.Add(left: string, right: string) : unit =
            // A token that stands for other characters than it has says nothing about them.
            if isWhole left || isWhole right then
                exact <- false
            elif
                left.Length > 0
                && right.StartsWith Metaspace.space
                && left[left.Length - 1] <> Metaspace.space
            then
                joined.Add left[left.Length - 1] |> ignore

        member _.Result: HashSet<char> option = if exact then Some joined else None

    /// Eight times those of the largest vocabulary in use: the table takes memory in proportion.
    let mostMerges = 1 <<< 22

    let private isByteToken (token: string) =
        token.Length = 6
        && token.StartsWith("<0x", StringComparison.Ordinal)
        && token[5] = '>'

    /// A merge with what names its place in a complaint.
    [<Struct; NoEquality; NoComparison>]
    type Merge =
        { Left: string
          Right: string
          Error: string -> exn }

    /// Merges in their order as pairs of ids, and where texts may be cut between them.
    let private tableOf (vocabulary: Vocabulary) prefix unknown (count: int) (merges: Merge seq) =
        let table = PairTable count
        let joints = Joints(vocabulary, (fun token -> isByteToken token || token = unknown))
        let mutable rank = 0

        let idOf (merge: Merge) token =
            match vocabulary.Ids.TryGetValue token with
            | true, id -> id
            | _ -> raise (merge.Error $"the merge names '{token}', which is not in the vocabulary")

        for merge in merges do
            if not (merge.Right.StartsWith(prefix, StringComparison.Ordinal)) then
                raise (merge.Error $"expected a right token that starts with '{prefix}', found '{merge.Right}'")

            let made =
                String.Concat(merge.Left.AsSpan(), merge.Right.AsSpan(String.length prefix))

            // A pair that the list has twice counts where it stands last, as in Hugging Face's.
            table.Set(idOf merge merge.Left, idOf merge merge.Right, (int64 rank <<< 32) ||| int64 (idOf merge made))

            joints.Add(merge.Left, merge.Right)
            rank <- rank + 1

        struct (table, joints.Result)

    let private mergesOf (node: FileNode) : Merge seq =
        node
        |> FileNode.items
        |> Seq.map (fun merge ->
            let struct (left, right) = readMerge merge

            { Left = left
              Right = right
              Error = FileNode.error merge })

    let private readOptions (bytes: bool) (node: FileNode) : Options =
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

        let text name =
            node
            |> FileNode.tryGet name
            |> Option.map FileNode.string
            |> Option.defaultValue ""

        match node |> FileNode.tryGet "dropout" with
        | Some dropout when FileNode.float dropout <> 0.0 ->
            FileNode.fail dropout "BPE with dropout is not supported: it would give a text other tokens each time"
        | _ -> ()

        let vocabulary = node |> FileNode.get "vocab" |> TokenModel.readVocabulary
        let prefix = text "continuing_subword_prefix"
        let suffix = text "end_of_word_suffix"

        let unknown =
            node
            |> FileNode.tryGet "unk_token"
            |> Option.map (TokenModel.readUnknown vocabulary)

        let merges = node |> FileNode.get "merges"

        if merges.Value.ValueKind <> Text.Json.JsonValueKind.Array then
            FileNode.fail merges "expected an array"

        if merges.Value.GetArrayLength() > mostMerges then
            FileNode.fail merges $"expected at most {mostMerges} merges, found {merges.Value.GetArrayLength()}"

        let struct (table, joints) =
            mergesOf merges
            |> tableOf vocabulary prefix (text "unk_token") (merges.Value.GetArrayLength())

        let ignoreMerges = node |> FileNode.flag "ignore_merges" false

        { Vocabulary = vocabulary
          Merges = table
          Unknown = unknown |> Option.defaultValue -1
          FuseUnknown = node |> FileNode.flag "fuse_unk" false
          IgnoreMerges = ignoreMerges
          ByteTokens =
            if node |> FileNode.flag "byte_fallback" false then
                Some(TokenModel.byteTokens vocabulary)
            else
                None
          Prefix = prefix
          Suffix = suffix
          Bytes = bytes
          Joined =
            if bytes || ignoreMerges || prefix <> "" || suffix <> "" then
                None
            else
                joints }

    /// The tokens that are one character, by that character.
    let private characterIds (vocabulary: Vocabulary) : Dictionary<Rune, int> =
        let ids = Dictionary<Rune, int>()

        for entry in vocabulary.Ids do
            match Rune.TryGetRuneAt(entry.Key, 0) with
            | true, rune when rune.Utf16SequenceLength = entry.Key.Length -> ids[rune] <- entry.Value
            | _ -> ()

        ids

    /// The token of a character where it stands in a piece; −1 if there is none.
    let private lookUp (options: Options) : Rune -> bool -> bool -> int =
        let alone = characterIds options.Vocabulary

        let plain rune =
            match alone.TryGetValue rune with
            | true, id -> id
            | _ -> -1

        if options.Prefix = "" && options.Suffix = "" then
            fun rune _ _ -> plain rune
        else
            fun rune isFirst isLast ->
                let spelled =
                    (if isFirst then "" else options.Prefix)
                    + rune.ToString()
                    + (if isLast then options.Suffix else "")

                match options.Vocabulary.Ids.TryGetValue spelled with
                | true, id -> id
                | _ -> -1

    /// Adds the symbols that a piece starts as.
    let private symbolsOf (options: Options) : Slice -> ResizeArray<int> -> unit =
        let lookUp = lookUp options

        let bytesOf (rune: Rune) : int[] option =
            options.ByteTokens
            |> Option.bind (fun tokens ->
                let utf8 = Array.zeroCreate<byte> rune.Utf8SequenceLength
                rune.EncodeToUtf8(utf8.AsSpan()) |> ignore
                let ids = utf8 |> Array.map (fun b -> tokens[int b])
                if ids |> Array.contains -1 then None else Some ids)

        fun slice result ->
            // An unknown character waits for the next known one, as in Hugging Face's loop: bytes overtake it.
            let mutable waiting = false
            let mutable at = 0

            for rune in slice.Span.EnumerateRunes() do
                let isFirst = at = 0
                at <- at + rune.Utf16SequenceLength
                let id = lookUp rune isFirst (at = slice.Length)

                if id >= 0 then
                    if waiting then
                        result.Add options.Unknown
                        waiting <- false

                    result.Add id
                else
                    match bytesOf rune with
                    | Some ids -> result.AddRange ids
                    | None when options.Unknown >= 0 ->
                        if waiting && not options.FuseUnknown then
                            result.Add options.Unknown

                        waiting <- true
                    | None -> ()

            if waiting then
                result.Add options.Unknown

    /// The same for pieces whose bytes all have a token: no spelling is made.
    let private byteSymbolsOf (ids: int[]) : Slice -> ResizeArray<int> -> unit =
        fun slice result ->
            let text = slice.Span

            for i in 0 .. text.Length - 1 do
                let c = int text[i]

                if c < 0x80 then
                    result.Add ids[c]
                elif c < 0x800 then
                    result.Add ids[0xC0 ||| (c >>> 6)]
                    result.Add ids[0x80 ||| (c &&& 0x3F)]
                elif not (Char.IsSurrogate text[i]) then
                    result.Add ids[0xE0 ||| (c >>> 12)]
                    result.Add ids[0x80 ||| ((c >>> 6) &&& 0x3F)]
                    result.Add ids[0x80 ||| (c &&& 0x3F)]
                elif Char.IsHighSurrogate text[i] then
                    let c = Char.ConvertToUtf32(text[i], text[i + 1])
                    result.Add ids[0xF0 ||| (c >>> 18)]
                    result.Add ids[0x80 ||| ((c >>> 12) &&& 0x3F)]
                    result.Add ids[0x80 ||| ((c >>> 6) &&& 0x3F)]
                    result.Add ids[0x80 ||| (c &&& 0x3F)]

    /// The tokens of the 256 bytes in the alphabet of `ByteLevel`, if the vocabulary has them all.
    let private byteIds (options: Options) : int[] option =
        let ids =
            [| for c in ByteLevel.alphabet ->
                   match options.Vocabulary.Ids.TryGetValue(string c) with
                   | true, id -> id
                   | _ -> -1 |]

        if
            options.Bytes
            && options.Prefix = ""
            && options.Suffix = ""
            && not (Array.contains -1 ids)
        then
            Some ids
        else
            None

    /// Adds the tokens of a piece, by the merges.
    let private merge (options: Options) : Slice -> ResizeArray<int> -> unit =
        let merges = BytePairMerges options.Merges

        let spelled (slice: Slice) =
            if options.Bytes then
                ByteLevel.ofText (slice.ToString()) |> Slice.ofText slice.First
            else
                slice

        let symbols =
            match byteIds options with
            | Some ids -> byteSymbolsOf ids
            | None -> spelled >> symbolsOf options

        let apply (slice: Slice) (result: ResizeArray<int>) =
            let start = result.Count
            symbols slice result
            let count = merges.Merge(CollectionsMarshal.AsSpan(result).Slice start)
            result.RemoveRange(start + count, result.Count - start - count)

        if options.IgnoreMerges then
            fun slice result ->
                match options.Vocabulary.Ids.TryGetValue((spelled slice).ToString()) with
                | true, id -> result.Add id
                | _ -> apply slice result
        else
            apply

    /// A function of parts for one of pieces.
    let private inParts (joined: HashSet<char>) (tokenise: Slice -> ResizeArray<int> -> unit) =
        fun (slice: Slice) (result: ResizeArray<int>) ->
            let text = slice.Span
            let mutable from = 0

            for i in 1 .. text.Length - 1 do
                if
                    text[i] = Metaspace.space
                    && text[i - 1] <> Metaspace.space
                    && not (joined.Contains text[i - 1])
                then
                    tokenise (slice |> Slice.part from (i - from)) result
                    from <- i

            tokenise (slice |> Slice.part from (slice.Length - from)) result

    /// The model that options describe.
    let ofOptions (options: Options) : TokenModel =
        let memory = WordMemory(merge options)

        { Tokenise =
            match options.Joined with
            | Some joined -> inParts joined (fun slice result -> memory.Tokenise slice result)
            | None -> fun slice result -> memory.Tokenise slice result
          Vocabulary = options.Vocabulary }

    /// Byte-level BPE without options, as GPT-2 began it: a vocabulary and a list of merges.
    let ofMerges (vocabulary: Vocabulary) (merges: Merge[]) : TokenModel =
        let struct (table, _) = merges |> tableOf vocabulary "" "" merges.Length

        ofOptions
            { Vocabulary = vocabulary
              Merges = table
              Unknown = -1
              FuseUnknown = false
              IgnoreMerges = false
              ByteTokens = None
              Prefix = ""
              Suffix = ""
              Bytes = true
              Joined = None }

    /// The model that a node describes.
    let read (bytes: bool) (node: FileNode) : TokenModel = node |> readOptions bytes |> ofOptions

    /// The two merge loops of a node's model, for the test that they agree.
    let mergeLoops (node: FileNode) : (string -> int[]) * (string -> int[]) =
        let options = readOptions true node
        let symbols = symbolsOf options
        let merges = BytePairMerges options.Merges

        let run (loop: Memory<int> -> int) (piece: string) =
            let ids = ResizeArray<int>()
            symbols (piece |> Slice.ofText true) ids
            let room = ids.ToArray()
            Array.truncate (loop (Memory room)) room

        run (fun room -> merges.MergeShort room.Span), run (fun room -> merges.MergeLong room.Span)
