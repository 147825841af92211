namespace Reft.Core

open System
open System.IO
open System.Text
open System.Text.RegularExpressions

/// A regular expression from a tokenizer's file, run with a time limit.
[<Sealed>]
type internal SplitPattern private (regex: Regex, where: string) =

    // The file is untrusted and most patterns have a lookahead, which the engine without backtracking does not take.
    static let limit = TimeSpan.FromSeconds 5.0

    // Compiling takes memory in proportion; the longest pattern in use has a few hundred characters.
    static let longest = 16384

    static let build (where: string) (pattern: string) =
        if pattern.Length > longest then
            raise (
                InvalidDataException $"{where}: the pattern has {pattern.Length} characters: expected at most {longest}"
            )

        try
            try
                Regex(pattern, RegexOptions.CultureInvariant ||| RegexOptions.NonBacktracking, limit)
            with :? NotSupportedException ->
                Regex(pattern, RegexOptions.CultureInvariant ||| RegexOptions.Compiled, limit)
        with :? ArgumentException as e ->
            raise (InvalidDataException($"{where}: the pattern is not a regular expression: {e.Message}", e))

    let matches (text: ReadOnlySpan<char>) : ResizeArray<Piece> =
        let pieces = ResizeArray<Piece>(text.Length / 4 + 1)
        let mutable next = 0

        for found in regex.EnumerateMatches text do
            if found.Index > next then
                pieces.Add
                    { Start = next
                      Length = found.Index - next
                      IsMatch = false }

            pieces.Add
                { Start = found.Index
                  Length = found.Length
                  IsMatch = true }

            next <- found.Index + found.Length

        if next < text.Length then
            pieces.Add
                { Start = next
                  Length = text.Length - next
                  IsMatch = false }

        pieces

    /// The text with every surrogate pair replaced by its stand-in, and where each of its characters starts in the text.
    let flatten (slice: Slice) : struct (string * int[]) =
        let flat = StringBuilder slice.Length
        let starts = ResizeArray<int>(slice.Length + 1)
        let mutable at = 0

        for rune in slice.Span.EnumerateRunes() do
            flat.Append(
                if rune.IsBmp then
                    char rune.Value
                else
                    Oniguruma.standIn rune
            )
            |> ignore

            starts.Add at
            at <- at + rune.Utf16SequenceLength

        starts.Add at
        struct (flat.ToString(), starts.ToArray())

    /// The slice cut into matches and what lies between them, in order; together they are the slice.
    member _.Pieces(slice: Slice) : ResizeArray<Piece> =
        try
            if slice.Span.IndexOfAnyInRange('\uD800', '\uDFFF') < 0 then
                matches slice.Span
            else
                let struct (flat, starts) = flatten slice
                let pieces = matches (flat.AsSpan())

                for i in 0 .. pieces.Count - 1 do
                    let piece = pieces[i]

                    pieces[i] <-
                        { piece with
                            Start = starts[piece.Start]
                            Length = starts[piece.Start + piece.Length] - starts[piece.Start] }

                pieces
        with :? RegexMatchTimeoutException as e ->
            raise (InvalidDataException($"{where}: the pattern took more than {limit.TotalSeconds} s on one text", e))

    static member OfRegex (node: FileNode) (pattern: string) : SplitPattern =
        let where = $"{node.File}: {node.Path}"
        SplitPattern(pattern |> Oniguruma.translate (FileNode.error node) |> build where, where)

    /// A pattern of this library's own.
    static member Trusted(pattern: string) : SplitPattern =
        SplitPattern(build "built in" pattern, "built in")

/// The member `pattern` of splits and replacements: `{"String": …}` or `{"Regex": …}`.
[<RequireQualifiedAccess>]
module internal Pattern =

    /// How a node's pattern cuts a slice.
    let read (node: FileNode) : Slice -> ResizeArray<Piece> =
        let pattern = node |> FileNode.get "pattern"
        pattern |> FileNode.only [ "Regex"; "String" ]

        match FileNode.tryGet "Regex" pattern, FileNode.tryGet "String" pattern with
        | Some regex, None -> (SplitPattern.OfRegex regex (FileNode.string regex)).Pieces
        | None, Some literal ->
            match FileNode.string literal with
            | "" -> FileNode.fail literal "expected a literal of one or more characters"
            | text -> Pieces.ofLiteral text
        | _ -> FileNode.fail pattern "expected either 'Regex' or 'String'"

    /// A text with every match replaced.
    let replace (cut: Slice -> ResizeArray<Piece>) (content: string) (text: string) : string =
        let pieces = text |> Slice.ofText true |> cut

        if pieces.TrueForAll(fun piece -> not piece.IsMatch) then
            text
        else
            let result = StringBuilder text.Length

            for piece in pieces do
                if piece.IsMatch then
                    result.Append content |> ignore
                else
                    result.Append(text, piece.Start, piece.Length) |> ignore

            result.ToString()

    /// What a replacement may put in: a chain of longer ones would let a small file ask for any amount of memory.
    let private longestContent = 32

    /// A short text that goes into others.
    let content (node: FileNode) : string =
        let text = FileNode.string node

        if text.Length > longestContent then
            FileNode.fail node $"expected at most {longestContent} characters, found {text.Length}"

        text

    /// The node of a replacement: its pattern, and what takes the place of a match.
    let readReplacement (node: FileNode) : string -> string =
        node |> FileNode.only [ "type"; "pattern"; "content" ]
        replace (read node) (node |> FileNode.get "content" |> content)
