namespace Reft.Core

open System
open System.Text

/// Cuts slices of text into smaller ones; tokens never cross a cut.
type internal Cutter = ResizeArray<Slice> -> ResizeArray<Slice>

/// What a file's pre-tokenizer comes down to.
[<NoEquality; NoComparison>]
type internal PreTokenizer =
    {
        Cut: Cutter
        /// Whether the model is to see each piece in the alphabet of `ByteLevel`. The spelling is left to it: it remembers
        /// what became of a word by the word itself.
        Bytes: bool
    }

/// What a pre-tokenizer does with the parts of a text that its pattern matches.
[<RequireQualifiedAccess>]
type internal SplitBehavior =
    | Removed
    | Isolated
    | MergedWithPrevious
    | MergedWithNext
    | Contiguous

/// The pre-tokenizers of tokenizer.json, as Hugging Face's tokenizers cut.
[<RequireQualifiedAccess>]
module internal PreTokenizer =

    /// No cut at all.
    let none: PreTokenizer = { Cut = id; Bytes = false }

    /// GPT-2's pattern, which ByteLevel uses.
    let private gpt2 =
        SplitPattern.Trusted @"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"

    let private join (a: Piece) (b: Piece) =
        { a with
            Start = min a.Start b.Start
            Length = a.Length + b.Length }

    /// Neighbours of a list joined where the rule says so; the rule sees the previous piece as it was, and this one.
    let private joined rule (pieces: ResizeArray<Piece>) : ResizeArray<Piece> =
        let result = ResizeArray<Piece> pieces.Count
        let mutable previous = false

        for piece in pieces do
            if result.Count > 0 && rule previous piece.IsMatch then
                result[result.Count - 1] <- join result[result.Count - 1] piece
            else
                result.Add piece

            previous <- piece.IsMatch

        result

    let private reversed (pieces: ResizeArray<Piece>) : ResizeArray<Piece> =
        pieces.Reverse()
        pieces

    let private behave (behavior: SplitBehavior) (pieces: ResizeArray<Piece>) : ResizeArray<Piece> =
        match behavior with
        | SplitBehavior.Isolated -> pieces
        | SplitBehavior.Removed -> pieces.FindAll(fun piece -> not piece.IsMatch)
        | SplitBehavior.Contiguous -> pieces |> joined (=)
        | SplitBehavior.MergedWithPrevious -> pieces |> joined (fun previous current -> current && not previous)
        | SplitBehavior.MergedWithNext ->
            pieces
            |> reversed
            |> joined (fun previous current -> current && not previous)
            |> reversed

    let private split (cut: Slice -> ResizeArray<Piece>) (behavior: SplitBehavior) : Cutter =
        fun slices ->
            let result = ResizeArray<Slice>()

            for slice in slices do
                for piece in slice |> cut |> behave behavior do
                    if piece.Length > 0 then
                        result.Add(slice |> Slice.part piece.Start piece.Length)

            result

    let private inverted (pieces: ResizeArray<Piece>) =
        pieces.ConvertAll(fun piece ->
            { piece with
                IsMatch = not piece.IsMatch })

    let private mapText (change: Slice -> string) : Cutter =
        fun slices -> slices.ConvertAll(fun slice -> change slice |> Slice.ofText slice.First)

    let private prefixSpace: Cutter =
        mapText (fun slice ->
            let text = slice.ToString()
            if text.StartsWith ' ' then text else " " + text)

    /// GPT-2's cut, or none, for a model that sees bytes.
    let byteLevel addPrefixSpace useRegex : PreTokenizer =
        { Cut =
            (if addPrefixSpace then prefixSpace else id)
            >> (if useRegex then
                    split gpt2.Pieces SplitBehavior.Isolated
                else
                    id)
          Bytes = true }

    /// Spaces become a visible character, one stands before the text, and words begin with it.
    let metaspace (replacement: char) (scheme: MetaspaceScheme) (isSplit: bool) : Cutter =
        let spell (slice: Slice) =
            let text = slice.ToString().Replace(' ', replacement)

            let prefixed =
                match scheme with
                | MetaspaceScheme.Never -> false
                | MetaspaceScheme.First -> slice.First
                | MetaspaceScheme.Always -> true

            if prefixed && not (text.StartsWith replacement) then
                string replacement + text
            else
                text

        mapText spell
        >> if isSplit then
               split (Pieces.ofLiteral (string replacement)) SplitBehavior.MergedWithNext
           else
               id

    let private behaviorOf (node: FileNode) =
        match FileNode.string node with
        | "Removed" -> SplitBehavior.Removed
        | "Isolated" -> SplitBehavior.Isolated
        | "MergedWithPrevious" -> SplitBehavior.MergedWithPrevious
        | "MergedWithNext" -> SplitBehavior.MergedWithNext
        | "Contiguous" -> SplitBehavior.Contiguous
        | other -> FileNode.fail node $"the behavior '{other}' is not supported"

    let private readSplit (node: FileNode) : Cutter =
        node |> FileNode.only [ "type"; "pattern"; "behavior"; "invert" ]
        let cut = Pattern.read node
        let behavior = node |> FileNode.get "behavior" |> behaviorOf

        if node |> FileNode.flag "invert" false then
            split (cut >> inverted) behavior
        else
            split cut behavior

    let private readDigits (node: FileNode) : Cutter =
        node |> FileNode.only [ "type"; "individual_digits" ]

        if node |> FileNode.flag "individual_digits" false then
            split (Pieces.ofClass Rune.IsNumber) SplitBehavior.Isolated
        else
            split (Pieces.ofClass Rune.IsNumber) SplitBehavior.Contiguous

    let private readPunctuation (node: FileNode) : Cutter =
        node |> FileNode.only [ "type"; "behavior" ]

        node
        |> FileNode.tryGet "behavior"
        |> Option.map behaviorOf
        |> Option.defaultValue SplitBehavior.Isolated
        |> split (Pieces.ofClass CharacterClass.isPunctuation)

    let private readLength (node: FileNode) : Cutter =
        node |> FileNode.only [ "type"; "length" ]
        let length = node |> FileNode.get "length"

        match FileNode.natural length with
        | 0 -> FileNode.fail length "expected a length of at least 1"
        | count -> split (Pieces.ofLength count) SplitBehavior.Isolated

    let private readDelimiter (node: FileNode) : Cutter =
        node |> FileNode.only [ "type"; "delimiter" ]
        let delimiter = node |> FileNode.get "delimiter" |> FileNode.character
        split (Pieces.ofLiteral delimiter) SplitBehavior.Removed

    let private whiteSpace: Cutter =
        split (Pieces.ofClass Rune.IsWhiteSpace) SplitBehavior.Removed

    /// \w+|[^\w\s]+
    let private words: Cutter =
        let kind rune =
            if CharacterClass.isWord rune then 1
            elif Rune.IsWhiteSpace rune then 0
            else 2

        split (Pieces.ofRuns kind) SplitBehavior.Removed

    /// One after the other. Only the last may leave its spelling in bytes to the model.
    let private inTurn (stages: PreTokenizer list) : PreTokenizer =
        (none, stages)
        ||> List.fold (fun before next ->
            if before.Bytes then
                { next with
                    Cut =
                        before.Cut
                        >> mapText (fun slice -> ByteLevel.ofText (slice.ToString()))
                        >> next.Cut }
            else
                { next with
                    Cut = before.Cut >> next.Cut })

    let private known =
        "ByteLevel, Metaspace, Split, Whitespace, WhitespaceSplit, BertPreTokenizer, Punctuation, Digits, CharDelimiterSplit, FixedLength and Sequence"

    /// The pre-tokenizer that a node describes.
    let rec read (node: FileNode) : PreTokenizer =
        let cutting cut = { Cut = cut; Bytes = false }

        let plain cut =
            node |> FileNode.only [ "type" ]
            cutting cut

        match node |> FileNode.get "type" |> FileNode.string with
        | "ByteLevel" ->
            // trim_offsets concerns offsets alone, which nothing here reports.
            node
            |> FileNode.only [ "type"; "add_prefix_space"; "trim_offsets"; "use_regex" ]

            let prefix = node |> FileNode.get "add_prefix_space" |> FileNode.bool
            byteLevel prefix (node |> FileNode.flag "use_regex" true)
        | "Metaspace" ->
            let options = Metaspace.read node
            metaspace options.Replacement options.Scheme options.Split |> cutting
        | "Split" -> readSplit node |> cutting
        | "Digits" -> readDigits node |> cutting
        | "Punctuation" -> readPunctuation node |> cutting
        | "FixedLength" -> readLength node |> cutting
        | "CharDelimiterSplit" -> readDelimiter node |> cutting
        | "WhitespaceSplit" -> plain whiteSpace
        | "Whitespace" -> plain words
        | "BertPreTokenizer" ->
            whiteSpace
            >> split (Pieces.ofClass CharacterClass.isPunctuation) SplitBehavior.Isolated
            |> plain
        | "Sequence" ->
            node |> FileNode.only [ "type"; "pretokenizers" ]

            let stages =
                node
                |> FileNode.get "pretokenizers"
                |> FileNode.items
                |> Seq.map read
                |> Seq.toList

            if stages |> List.filter _.Bytes |> List.length > 1 then
                FileNode.fail node "it maps text to bytes twice: expected one ByteLevel"

            inTurn stages
        | kind -> FileNode.fail node $"the pre-tokenizer '{kind}' is not supported: {known} are"
