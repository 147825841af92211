namespace Reft.Core

open System
open System.Text

/// Cuts pieces of text into smaller ones; tokens never cross a cut. Byte-level pieces come out in the alphabet of `ByteLevel`.
type internal PreTokenizer = ResizeArray<string> -> ResizeArray<string>

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

    /// GPT-2's pattern, which ByteLevel uses.
    let private gpt2 =
        SplitPattern.Trusted @"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"

    let private join (a: Piece) (b: Piece) =
        { a with
            Start = min a.Start b.Start
            Length = a.Length + b.Length }

    /// Neighbours of a list joined where the rule says so; the rule sees the previous piece as it was, and this one.
    let private joined rule (pieces: Piece seq) : Piece seq =
        let result = ResizeArray<Piece>()
        let mutable previous = false

        for piece in pieces do
            if result.Count > 0 && rule previous piece.IsMatch then
                result[result.Count - 1] <- join result[result.Count - 1] piece
            else
                result.Add piece

            previous <- piece.IsMatch

        result

    let private behave (behavior: SplitBehavior) (pieces: ResizeArray<Piece>) : Piece seq =
        match behavior with
        | SplitBehavior.Isolated -> pieces
        | SplitBehavior.Removed -> pieces |> Seq.filter (fun piece -> not piece.IsMatch)
        | SplitBehavior.Contiguous -> pieces |> joined (=)
        | SplitBehavior.MergedWithPrevious -> pieces |> joined (fun previous current -> current && not previous)
        | SplitBehavior.MergedWithNext ->
            pieces
            |> Seq.rev
            |> joined (fun previous current -> current && not previous)
            |> Seq.rev

    let private split (cut: string -> ResizeArray<Piece>) (behavior: SplitBehavior) : PreTokenizer =
        fun texts ->
            let result = ResizeArray<string>()

            for text in texts do
                for piece in text |> cut |> behave behavior do
                    if piece.Length > 0 then
                        result.Add(text.Substring(piece.Start, piece.Length))

            result

    let private inverted (pieces: ResizeArray<Piece>) =
        pieces.ConvertAll(fun piece ->
            { piece with
                IsMatch = not piece.IsMatch })

    /// Every digit of any script apart, as Rust's char::is_numeric sees digits.
    let private digits (text: string) : ResizeArray<Piece> =
        let pieces = ResizeArray<Piece>()
        let mutable at = 0

        for rune in text.EnumerateRunes() do
            pieces.Add
                { Start = at
                  Length = rune.Utf16SequenceLength
                  IsMatch = Rune.IsNumber rune }

            at <- at + rune.Utf16SequenceLength

        pieces
        |> joined (fun previous current -> not previous && not current)
        |> ResizeArray

    let private byteLevel addPrefixSpace useRegex : PreTokenizer =
        let prefix (text: string) =
            if addPrefixSpace && not (text.StartsWith ' ') then
                " " + text
            else
                text

        fun texts ->
            let texts = if addPrefixSpace then texts.ConvertAll prefix else texts

            let texts =
                if useRegex then
                    split gpt2.Pieces SplitBehavior.Isolated texts
                else
                    texts

            texts.ConvertAll ByteLevel.ofText

    let private readSplit (node: FileNode) : PreTokenizer =
        node |> FileNode.only [ "type"; "pattern"; "behavior"; "invert" ]
        let pattern = node |> FileNode.get "pattern"
        pattern |> FileNode.only [ "Regex"; "String" ]

        let cut =
            match FileNode.tryGet "Regex" pattern, FileNode.tryGet "String" pattern with
            | Some regex, None -> SplitPattern.OfRegex regex (FileNode.string regex)
            | None, Some literal -> SplitPattern.OfLiteral literal (FileNode.string literal)
            | _ -> FileNode.fail pattern "expected either 'Regex' or 'String'"

        let behavior = node |> FileNode.get "behavior"

        let behaves =
            match FileNode.string behavior with
            | "Removed" -> SplitBehavior.Removed
            | "Isolated" -> SplitBehavior.Isolated
            | "MergedWithPrevious" -> SplitBehavior.MergedWithPrevious
            | "MergedWithNext" -> SplitBehavior.MergedWithNext
            | "Contiguous" -> SplitBehavior.Contiguous
            | other -> FileNode.fail behavior $"the behavior '{other}' is not supported"

        let cut =
            if node |> FileNode.flag "invert" false then
                cut.Pieces >> inverted
            else
                cut.Pieces

        split cut behaves

    let private readDigits (node: FileNode) : PreTokenizer =
        node |> FileNode.only [ "type"; "individual_digits" ]

        if node |> FileNode.flag "individual_digits" false then
            split digits SplitBehavior.Isolated
        else
            split digits SplitBehavior.Contiguous

    /// The pre-tokenizer that a node describes, and whether it maps text to the byte-level alphabet.
    let rec read (node: FileNode) : PreTokenizer * bool =
        match node |> FileNode.get "type" |> FileNode.string with
        | "ByteLevel" ->
            // trim_offsets concerns offsets alone, which nothing here reports.
            node
            |> FileNode.only [ "type"; "add_prefix_space"; "trim_offsets"; "use_regex" ]

            let prefix = node |> FileNode.get "add_prefix_space" |> FileNode.bool
            byteLevel prefix (node |> FileNode.flag "use_regex" true), true
        | "Split" -> readSplit node, false
        | "Digits" -> readDigits node, false
        | "Sequence" ->
            node |> FileNode.only [ "type"; "pretokenizers" ]

            let stages =
                node
                |> FileNode.get "pretokenizers"
                |> FileNode.items
                |> Seq.map read
                |> Seq.toList

            if stages |> List.filter snd |> List.length > 1 then
                FileNode.fail node "it maps text to bytes twice: expected one ByteLevel"

            stages |> List.map fst |> List.fold (>>) id, stages |> List.exists snd
        | kind ->
            FileNode.fail node $"the pre-tokenizer '{kind}' is not supported: ByteLevel, Split, Digits and Sequence are"
