namespace Reft.Core

open System
open System.Collections.Generic
open System.Text

/// A part of a text that is being cut, without a copy of its characters.
[<Struct; NoEquality; NoComparison>]
type internal Slice =
    {
        Source: string
        Start: int
        Length: int
        /// Whether the whole text begins here: Metaspace may treat its first word alone in another way.
        First: bool
    }

    member slice.Span: ReadOnlySpan<char> = slice.Source.AsSpan(slice.Start, slice.Length)

    override slice.ToString() =
        slice.Source.Substring(slice.Start, slice.Length)

[<RequireQualifiedAccess>]
module internal Slice =

    let ofText (first: bool) (text: string) : Slice =
        { Source = text
          Start = 0
          Length = text.Length
          First = first }

    /// The part of a slice that starts at an offset into it.
    let part (start: int) (length: int) (slice: Slice) : Slice =
        { slice with
            Start = slice.Start + start
            Length = length
            First = slice.First && start = 0 }

/// A piece of a slice: where it starts in it, its length, and whether the pattern matched it.
[<Struct>]
type internal Piece =
    { Start: int
      Length: int
      IsMatch: bool }

/// The ways to cut a slice into pieces that are not regular expressions.
[<RequireQualifiedAccess>]
module internal Pieces =

    /// Each character of a class apart, and what lies between them.
    let ofClass (isIn: Rune -> bool) (slice: Slice) : List<Piece> =
        let pieces = List<Piece>()
        let mutable from = 0
        let mutable at = 0

        let between until =
            if from < until then
                pieces.Add
                    { Start = from
                      Length = until - from
                      IsMatch = false }

        for rune in slice.Span.EnumerateRunes() do
            let length = rune.Utf16SequenceLength

            if isIn rune then
                between at

                pieces.Add
                    { Start = at
                      Length = length
                      IsMatch = true }

                from <- at + length

            at <- at + length

        between at
        pieces

    /// Runs of characters of one kind; those of kind 0 are the matches.
    let ofRuns (kind: Rune -> int) (slice: Slice) : List<Piece> =
        let pieces = List<Piece>()
        let mutable from = 0
        let mutable at = 0
        let mutable last = -1

        let close until =
            if from < until then
                pieces.Add
                    { Start = from
                      Length = until - from
                      IsMatch = (last = 0) }

        for rune in slice.Span.EnumerateRunes() do
            let kind = kind rune

            if kind <> last then
                close at
                from <- at
                last <- kind

            at <- at + rune.Utf16SequenceLength

        close at
        pieces

    /// Every occurrence of a literal, and what lies between them.
    let ofLiteral (literal: string) (slice: Slice) : List<Piece> =
        let pieces = List<Piece>()
        let mutable from = 0
        let mutable searching = true

        while searching do
            let offset =
                slice.Span.Slice(from).IndexOf(literal.AsSpan(), StringComparison.Ordinal)

            let until = if offset < 0 then slice.Length else from + offset

            if from < until then
                pieces.Add
                    { Start = from
                      Length = until - from
                      IsMatch = false }

            if offset < 0 then
                searching <- false
            else
                pieces.Add
                    { Start = until
                      Length = literal.Length
                      IsMatch = true }

                from <- until + literal.Length

        pieces

    /// So many characters each; none is a match.
    let ofLength (count: int) (slice: Slice) : List<Piece> =
        let pieces = List<Piece>()
        let mutable from = 0
        let mutable at = 0
        let mutable runes = 0

        for rune in slice.Span.EnumerateRunes() do
            at <- at + rune.Utf16SequenceLength
            runes <- runes + 1

            if runes = count then
                pieces.Add
                    { Start = from
                      Length = at - from
                      IsMatch = false }

                from <- at
                runes <- 0

        if from < at then
            pieces.Add
                { Start = from
                  Length = at - from
                  IsMatch = false }

        pieces
