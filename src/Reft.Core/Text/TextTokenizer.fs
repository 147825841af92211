namespace Reft.Core

open System
open System.Collections.Generic
open System.IO
open System.Text

/// <summary>Turns token ids into text as they come, without ever giving half a character.</summary>
/// <remarks>
/// A token may end inside a character, and what a token means may depend on the next one: such text is kept back until the
/// tokens that complete it arrive. The pieces, with that of <see cref="M:Reft.Core.StreamDecoder.Flush"/>, add up to
/// <see cref="M:Reft.Core.TextTokenizer.Decode"/> of all ids. Not for use by several threads.
/// </remarks>
[<Sealed>]
type StreamDecoder internal (decoder: TokenDecoder, tokenOf: int -> string voption) =

    let text = StringBuilder()

    let start () =
        decoder
            { Token = fun part -> text.Append part |> ignore
              End = ignore }

    let mutable run = start ()

    let taken () =
        let result = text.ToString()
        text.Clear() |> ignore
        result

    /// <summary>The text that this token completes: empty while a character is incomplete.</summary>
    member _.Push(id: int) : string =
        match tokenOf id with
        | ValueSome token -> run.Token token
        | ValueNone -> ()

        taken ()

    /// <summary>
    /// What is left at the end, with U+FFFD for a character that never became complete. The decoder is then as new.
    /// </summary>
    member _.Flush() : string =
        run.End()
        run <- start ()
        taken ()

/// What a tokenizer is made of.
[<NoEquality; NoComparison>]
type internal TokenizerParts =
    { CutRaw: bool -> string -> Segment list
      Normalise: TextNormalizer
      CutNormalised: bool -> string -> Segment list
      PreTokenise: Cutter
      Model: TokenModel
      Frame: Frame
      Added: AddedToken list
      Decoder: TokenDecoder
      Bos: int option
      Eos: int option
      Pad: int option }

/// <summary>
/// Text ↔ token ids, as the <c>tokenizer.json</c> it was loaded from defines them
/// (<see cref="M:Reft.Core.TokenizerFileModule.load"/>). Immutable, and safe to use from several threads.
/// </summary>
[<Sealed>]
type TextTokenizer internal (parts: TokenizerParts) =

    let vocabulary = parts.Model.Vocabulary
    let addedIds = Dictionary<string, int>(StringComparer.Ordinal)
    let addedTokens = Dictionary<int, AddedToken>()

    do
        for token in parts.Added do
            addedIds[token.Content] <- token.Id
            addedTokens[token.Id] <- token

    let size =
        vocabulary.Tokens.Count
        + (parts.Added
           |> List.filter (fun token -> not (vocabulary.Ids.ContainsKey token.Content))
           |> List.length)

    let tokenOf (id: int) : string voption =
        match addedTokens.TryGetValue id, vocabulary.Tokens.TryGetValue id with
        | (true, added), _ -> ValueSome added.Content
        | _, (true, token) -> ValueSome token
        | _ -> ValueNone

    let isSpecial (id: int) =
        match addedTokens.TryGetValue id with
        | true, token -> token.Special
        | _ -> false

    /// Text as a sequence of code points: a lone surrogate has no UTF-8, and counts as U+FFFD.
    let wellFormed (text: string) =
        if text.AsSpan().IndexOfAnyInRange('\uD800', '\uDFFF') < 0 then
            text
        else
            Encoding.UTF8.GetString(Encoding.UTF8.GetBytes text)

    let encodeText (result: ResizeArray<int>) (first: bool) (text: string) =
        for piece in parts.PreTokenise(ResizeArray [ Slice.ofText first text ]) do
            if piece.Length > 0 then
                parts.Model.Tokenise piece result

    let encode (text: string) : ResizeArray<int> =
        let result = ResizeArray<int>(text.Length / 4 + 1)

        for segment in text |> wellFormed |> parts.CutRaw true do
            match segment with
            | Segment.Token id -> result.Add id
            | Segment.Text(raw, first) ->
                for segment in raw |> parts.Normalise |> parts.CutNormalised first do
                    match segment with
                    | Segment.Token id -> result.Add id
                    | Segment.Text(text, first) -> encodeText result first text

        result

    /// An id that no token has stands for nothing: models often have more rows than the tokenizer has tokens.
    let decoded skipSpecial (id: int) =
        match tokenOf id with
        | ValueSome token when not (skipSpecial && isSpecial id) -> ValueSome token
        | _ -> ValueNone

    /// <summary>The number of tokens, added ones included.</summary>
    member _.VocabularySize: int = size

    /// <summary>Beginning of sequence, if <c>tokenizer_config.json</c> names one.</summary>
    member _.BosId: int option = parts.Bos

    /// <summary>End of sequence, if <c>tokenizer_config.json</c> names one.</summary>
    member _.EosId: int option = parts.Eos

    /// <summary>Padding, if <c>tokenizer_config.json</c> names it.</summary>
    member _.PadId: int option = parts.Pad

    /// <summary>The token of an id, as the vocabulary spells it (a space is <c>Ġ</c>), if there is one.</summary>
    member _.IdToToken(id: int) : string option =
        match tokenOf id with
        | ValueSome token -> Some token
        | ValueNone -> None

    /// <summary>The id of a token, as the vocabulary spells it, if there is one.</summary>
    member _.TokenToId(token: string) : int option =
        match addedIds.TryGetValue token, vocabulary.Ids.TryGetValue token with
        | (true, id), _
        | _, (true, id) -> Some id
        | _ -> None

    /// <summary>Whether a token is a special one, such as the end of sequence.</summary>
    member _.IsSpecial(id: int) : bool = isSpecial id

    /// <summary>The ids of a text.</summary>
    /// <param name="text">The text; special tokens written out in it become their ids.</param>
    /// <param name="addSpecial">Whether to add what the post-processor puts before and after a text, e.g. BOS and EOS.</param>
    /// <exception cref="T:System.IO.InvalidDataException">A pattern of the tokenizer's file took too long on this text.</exception>
    member _.Encode(text: string, addSpecial: bool) : int[] =
        let body = encode text

        if addSpecial then
            [| yield! parts.Frame.Prefix; yield! body; yield! parts.Frame.Suffix |]
        else
            body.ToArray()

    /// <summary>
    /// The ids of a text that something is to follow: with what the post-processor puts before a text, e.g. BOS, and
    /// without what it puts after it.
    /// </summary>
    member _.EncodePrompt(text: string) : int[] =
        [| yield! parts.Frame.Prefix; yield! encode text |]

    /// <summary>The ids of a text that follows a prompt: nothing is put around it.</summary>
    member tokenizer.EncodeCompletion(text: string) : int[] = tokenizer.Encode(text, false)

    /// <summary>
    /// The ids of a text, or of two, as an encoder reads them, and the segment of each: with what the post-processor puts
    /// around them. What is too long is cut from its end, of two texts the longer one first, as in Hugging Face's.
    /// </summary>
    /// <param name="text">The first text.</param>
    /// <param name="second">The second one, if there are two.</param>
    /// <param name="length">The most ids, special ones included.</param>
    /// <exception cref="T:System.ArgumentException">The special tokens alone are more.</exception>
    /// <exception cref="T:System.IO.InvalidDataException">There are two texts, and the file has no template for two.</exception>
    member _.EncodeRow(text: string, second: string option, length: int) : struct (int[] * int[]) =
        let cut count (ids: ResizeArray<int>) = ids |> Seq.truncate count |> Seq.toList

        let room special =
            if special > length then
                invalidArg
                    (nameof length)
                    $"expected a length of {special} or more, as there are so many special tokens, found {length}"

            length - special

        let first = encode text

        match second with
        | None ->
            let ids =
                [| yield! parts.Frame.Prefix
                   yield! first |> cut (room (parts.Frame.Prefix.Length + parts.Frame.Suffix.Length))
                   yield! parts.Frame.Suffix |]

            struct (ids, Array.zeroCreate ids.Length)
        | Some _ when parts.Frame.Pair.IsEmpty ->
            raise (
                InvalidDataException
                    "the post-processor of tokenizer.json has no template with a place for each of two texts: give one text, or token ids"
            )
        | Some second ->
            let second = encode second

            let room =
                parts.Frame.Pair
                |> List.sumBy (function
                    | PairPiece.Special(ids, _) -> ids.Length
                    | _ -> 0)
                |> room

            let shorter = min first.Count second.Count

            let struct (less, more) =
                if first.Count + second.Count <= room then
                    struct (shorter, max first.Count second.Count)
                elif shorter + shorter <= room then
                    struct (shorter, room - shorter)
                else
                    struct (room / 2, room / 2 + room % 2)

            let firstCount, secondCount =
                if first.Count > second.Count then
                    more, less
                else
                    less, more

            [| for piece in parts.Frame.Pair do
                   match piece with
                   | PairPiece.Special(ids, segment) -> for id in ids -> struct (id, segment)
                   | PairPiece.First segment -> for id in cut firstCount first -> struct (id, segment)
                   | PairPiece.Second segment -> for id in cut secondCount second -> struct (id, segment) |]
            |> fun tokens ->
                struct (tokens |> Array.map (fun struct (id, _) -> id), tokens |> Array.map (fun struct (_, s) -> s))

    /// <summary>The text of ids.</summary>
    /// <param name="ids">The ids; one that no token has stands for nothing.</param>
    /// <param name="skipSpecial">Whether special tokens are left out.</param>
    /// <remarks>Bytes that are not UTF-8 become U+FFFD.</remarks>
    member _.Decode(ids: int seq, skipSpecial: bool) : string =
        let text = StringBuilder()

        let run =
            parts.Decoder
                { Token = fun part -> text.Append part |> ignore
                  End = ignore }

        for id in ids do
            match decoded skipSpecial id with
            | ValueSome token -> run.Token token
            | ValueNone -> ()

        run.End()
        text.ToString()

    /// <summary>A decoder for ids that come one by one.</summary>
    /// <param name="skipSpecial">Whether special tokens are left out.</param>
    member _.Stream(skipSpecial: bool) : StreamDecoder =
        StreamDecoder(parts.Decoder, decoded skipSpecial)
