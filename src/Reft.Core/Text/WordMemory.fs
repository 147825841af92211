namespace Reft.Core

open System

/// A word and what became of it.
[<Sealed>]
type internal RememberedWord(word: string, ids: int[]) =
    member _.Word = word
    member _.Ids = ids

/// <summary>
/// Words repeat: what a word became is kept in a table of fixed size, in which a later word takes an earlier one's place.
/// </summary>
/// <remarks>Several threads may use it: an entry is immutable, and is read and replaced as a whole.</remarks>
[<Sealed>]
type internal WordMemory(tokenise: Slice -> ResizeArray<int> -> unit) =

    // 65,536 words of at most 32 characters: at most some 10 MB, if a text has so many.
    static let places = 1 <<< 16
    static let longest = 32

    let table: (RememberedWord | null)[] = Array.zeroCreate places

    /// The tokens of a piece, from memory or as they are made.
    member _.Tokenise (slice: Slice) (result: ResizeArray<int>) : unit =
        if slice.Length > longest then
            tokenise slice result
        else
            let place = String.GetHashCode slice.Span &&& (places - 1)

            match table[place] with
            | NonNull entry when entry.Word.AsSpan().SequenceEqual slice.Span ->
                let ids = entry.Ids

                for i in 0 .. ids.Length - 1 do
                    result.Add ids[i]
            | _ ->
                let start = result.Count
                tokenise slice result
                let ids = Array.zeroCreate (result.Count - start)
                result.CopyTo(start, ids, 0, ids.Length)
                table[place] <- RememberedWord(slice.ToString(), ids)
