namespace Reft.Core

open System
open System.Buffers
open System.Collections.Generic
open System.Text

/// <summary>
/// The alphabet of byte-level BPE: one printable character for each of the 256 bytes, so that any text, as UTF-8, is a
/// word over a small alphabet and no text is unknown. It is GPT-2's table: printable Latin-1 stands for itself, the other
/// 68 bytes take U+0100 onwards in order, so a space is <c>Ġ</c> and a line feed <c>Ċ</c>.
/// </summary>
[<RequireQualifiedAccess>]
module ByteLevel =

    let private printable (b: int) =
        (b >= int '!' && b <= int '~')
        || (b >= 0xA1 && b <= 0xAC)
        || (b >= 0xAE && b <= 0xFF)

    let private charOfByte: char[] =
        let mutable next = 0x100

        Array.init 256 (fun b ->
            if printable b then
                char b
            else
                next <- next + 1
                char (next - 1))

    let private byteOfChar: Dictionary<char, byte> =
        let table = Dictionary<char, byte> 256
        charOfByte |> Array.iteri (fun b c -> table[c] <- byte b)
        table

    /// <summary>The character that stands for a byte.</summary>
    let charOf (b: byte) : char = charOfByte[int b]

    /// <summary>The byte that a character stands for, if it is one of the alphabet's.</summary>
    let tryByteOf (c: char) : byte option =
        match byteOfChar.TryGetValue c with
        | true, b -> Some b
        | _ -> None

    /// <summary>The 256 characters, in the order of the bytes they stand for.</summary>
    let alphabet: IReadOnlyList<char> = Array.AsReadOnly charOfByte

    // Every word of every text passes here: one delegate, and no bytes for plain ASCII.
    let private spellAscii =
        SpanAction<char, string>(fun span text ->
            let table = charOfByte

            for i in 0 .. span.Length - 1 do
                span[i] <- table[int text[i]])

    let private spellBytes =
        SpanAction<char, byte[]>(fun span bytes ->
            let table = charOfByte

            for i in 0 .. span.Length - 1 do
                span[i] <- table[int bytes[i]])

    /// <summary>A text's UTF-8 bytes, each as its character. A lone surrogate counts as U+FFFD.</summary>
    let ofText (text: string) : string =
        if Ascii.IsValid(text.AsSpan()) then
            String.Create(text.Length, text, spellAscii)
        else
            let bytes = Encoding.UTF8.GetBytes text
            String.Create(bytes.Length, bytes, spellBytes)

    /// <summary>
    /// The bytes that a token stands for. A token with any character outside the alphabet, as added tokens may have, stands
    /// for its own UTF-8.
    /// </summary>
    let bytesOf (token: string) : byte[] =
        let bytes = Array.zeroCreate token.Length
        let mutable i = 0

        while i < token.Length && byteOfChar.TryGetValue(token[i], &bytes[i]) do
            i <- i + 1

        if i = token.Length then
            bytes
        else
            Encoding.UTF8.GetBytes token
