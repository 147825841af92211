namespace Reft.Core

open System
open System.Buffers.Binary
open System.Globalization
open System.IO
open System.Text

/// <summary>
/// SentencePiece's precompiled normalization: a double-array trie from UTF-8 strings to offsets into a list of
/// zero-terminated replacements, applied as Hugging Face's tokenizers apply it.
/// </summary>
/// <remarks>
/// That is: a grapheme of up to five bytes is looked up whole, a longer one or one without an entry character by character;
/// and of the prefixes that have an entry the shortest counts.
/// </remarks>
[<Sealed>]
type internal Charsmap private (where: string, units: uint32[], replacements: byte[]) =

    static let longest = 32

    /// The first replacement of a prefix of the key; −1 if there is none, or the trie leads out of itself.
    let find (key: ReadOnlySpan<byte>) : int =
        let offset (unit: uint32) =
            (unit >>> 10) <<< int ((unit &&& 0x200u) >>> 6)

        let mutable result = -1

        if units.Length > 0 then
            let mutable node = offset units[0]
            let mutable i = 0

            while i < key.Length do
                node <- node ^^^ uint32 key[i]

                if key[i] = 0uy || node >= uint32 units.Length then
                    i <- key.Length
                else
                    let unit = units[int node]

                    if (unit &&& 0x800000FFu) <> uint32 key[i] then
                        i <- key.Length
                    else
                        node <- node ^^^ offset unit
                        i <- i + 1

                        if (unit >>> 8) &&& 1u = 1u then
                            if node < uint32 units.Length then
                                result <- int (units[int node] &&& 0x7FFFFFFFu)

                            i <- key.Length

        result

    let replacementAt (start: int) : string =
        let rest = replacements.AsSpan start
        let stop = rest.IndexOf 0uy
        Encoding.UTF8.GetString(if stop < 0 then rest else rest.Slice(0, stop))

    let tryReplace (part: ReadOnlySpan<char>) (out: StringBuilder) : bool =
        let bytes = Array.zeroCreate<byte>(Encoding.UTF8.GetMaxByteCount part.Length)
        let count = Encoding.UTF8.GetBytes(part, bytes.AsSpan())
        let start = find (ReadOnlySpan(bytes, 0, count))

        if start < 0 || start >= replacements.Length then
            false
        else
            let replacement = replacementAt start

            // NFKC's longest has 18; a map must not be able to ask for any amount of memory.
            if replacement.Length > longest then
                raise (
                    InvalidDataException
                        $"{where}: a replacement has {replacement.Length} characters: expected at most {longest}"
                )

            out.Append replacement |> ignore
            true

    member _.Normalise(text: string) : string =
        let out = StringBuilder text.Length
        let mutable at = 0

        while at < text.Length do
            let length = StringInfo.GetNextTextElementLength(text, at)
            let grapheme = text.AsSpan(at, length)

            if not (length < 6 && Encoding.UTF8.GetByteCount grapheme < 6 && tryReplace grapheme out) then
                let mutable inside = 0

                while inside < length do
                    let size = if Char.IsHighSurrogate text[at + inside] then 2 else 1
                    let part = text.AsSpan(at + inside, size)

                    if not (tryReplace part out) then
                        out.Append part |> ignore

                    inside <- inside + size

            at <- at + length

        out.ToString()

    /// Reads `size of the trie in bytes, the trie, the replacements`.
    static member OfBytes(where: string, bytes: ReadOnlySpan<byte>) : Charsmap =
        let size =
            if bytes.Length < 4 then
                -1L
            else
                int64 (BinaryPrimitives.ReadUInt32LittleEndian bytes)

        if size < 4L || size % 4L <> 0L || size > int64 bytes.Length - 4L then
            raise (
                InvalidDataException
                    $"{where}: expected the size of a trie within the {bytes.Length} bytes of the map, found {size}"
            )

        let units = Array.zeroCreate<uint32>(int size / 4)

        for i in 0 .. units.Length - 1 do
            units[i] <- BinaryPrimitives.ReadUInt32LittleEndian(bytes.Slice(4 + 4 * i))

        Charsmap(where, units, bytes.Slice(4 + int size).ToArray())
