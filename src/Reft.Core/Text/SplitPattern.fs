namespace Reft.Core

open System
open System.IO
open System.Text
open System.Text.RegularExpressions

/// A piece of a text: where it starts, its length, and whether the pattern matched it.
[<Struct>]
type internal Piece =
    { Start: int
      Length: int
      IsMatch: bool }

/// A regular expression or a literal from a tokenizer's file, run with a time limit.
[<Sealed>]
type internal SplitPattern private (regex: Regex, where: string) =

    // The file is untrusted and most patterns have a lookahead, which the engine without backtracking does not take.
    static let limit = TimeSpan.FromSeconds 5.0

    static let build (where: string) (pattern: string) =
        try
            try
                Regex(pattern, RegexOptions.CultureInvariant ||| RegexOptions.NonBacktracking, limit)
            with :? NotSupportedException ->
                Regex(pattern, RegexOptions.CultureInvariant ||| RegexOptions.Compiled, limit)
        with :? ArgumentException as e ->
            raise (InvalidDataException($"{where}: the pattern is not a regular expression: {e.Message}", e))

    let matches (text: string) : ResizeArray<Piece> =
        let pieces = ResizeArray<Piece>()
        let mutable next = 0

        for found in regex.EnumerateMatches(text.AsSpan()) do
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
    let flatten (text: string) : struct (string * int[]) =
        let flat = StringBuilder text.Length
        let starts = ResizeArray<int> text.Length
        let mutable at = 0

        for rune in text.EnumerateRunes() do
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

    /// The text cut into matches and what lies between them, in order; together they are the text.
    member _.Pieces(text: string) : ResizeArray<Piece> =
        try
            if text.AsSpan().IndexOfAnyInRange('\uD800', '\uDFFF') < 0 then
                matches text
            else
                let struct (flat, starts) = flatten text

                matches flat
                |> Seq.map (fun piece ->
                    { piece with
                        Start = starts[piece.Start]
                        Length = starts[piece.Start + piece.Length] - starts[piece.Start] })
                |> ResizeArray
        with :? RegexMatchTimeoutException as e ->
            raise (InvalidDataException($"{where}: the pattern took more than {limit.TotalSeconds} s on one text", e))

    static member OfRegex (node: FileNode) (pattern: string) : SplitPattern =
        let where = $"{node.File}: {node.Path}"
        SplitPattern(pattern |> Oniguruma.translate (FileNode.error node) |> build where, where)

    static member OfLiteral (node: FileNode) (literal: string) : SplitPattern =
        if literal = "" || literal |> Seq.exists Char.IsSurrogate then
            FileNode.fail node "expected a literal of one or more characters up to U+FFFF"

        let where = $"{node.File}: {node.Path}"
        SplitPattern(literal |> Regex.Escape |> build where, where)

    /// A pattern of this library's own.
    static member Trusted(pattern: string) : SplitPattern =
        SplitPattern(build "built in" pattern, "built in")
