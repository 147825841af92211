namespace Reft.Core

open System
open System.IO

/// The types of pieces in a SentencePiece model.
[<RequireQualifiedAccess>]
type internal PieceKind =
    | Normal
    | Unknown
    | Control
    | UserDefined
    | Unused
    | Byte

/// One piece of a vocabulary.
[<Struct; NoEquality; NoComparison>]
type internal SentencePiece =
    { Text: string
      Score: float32
      Kind: PieceKind }

/// <summary>A SentencePiece model (<c>tokenizer.model</c>), as far as it decides tokens.</summary>
/// <remarks>The fields and their defaults are those of sentencepiece_model.proto.</remarks>
[<NoEquality; NoComparison>]
type internal SentencePieceModel =
    {
        File: string
        Pieces: SentencePiece[]
        /// Byte-pair encoding by scores, or else Unigram.
        IsBpe: bool
        ByteFallback: bool
        Bos: int
        Eos: int
        Pad: int
        Charsmap: ReadOnlyMemory<byte>
        AddDummyPrefix: bool
        RemoveExtraSpaces: bool
    }

[<RequireQualifiedAccess>]
module internal SentencePieceModel =

    /// The largest file that is read: several times the largest model in use.
    let private sizeLimit = 64L * 1024L * 1024L

    let fail (model: string) (problem: string) : 'a =
        raise (InvalidDataException $"{model}: {problem}")

    let private kindOf file number =
        match number with
        | 1 -> PieceKind.Normal
        | 2 -> PieceKind.Unknown
        | 3 -> PieceKind.Control
        | 4 -> PieceKind.UserDefined
        | 5 -> PieceKind.Unused
        | 6 -> PieceKind.Byte
        | other -> fail file $"expected a type of 1 … 6 for a piece, found {other}"

    let private readPiece file (message: ReadOnlyMemory<byte>) : SentencePiece =
        let piece =
            { Text = ""
              Score = 0.0f
              Kind = PieceKind.Normal }
            |> Protobuf.fold file message (fun piece field ->
                match field.Number with
                | 1 ->
                    { piece with
                        Text = Protobuf.string file field }
                | 2 ->
                    { piece with
                        Score = Protobuf.float32 file field }
                | 3 ->
                    { piece with
                        Kind = Protobuf.int32 file field |> kindOf file }
                | _ -> piece)

        if piece.Text = "" then
            fail file "a piece has no characters"

        piece

    let private readTrainer (message: ReadOnlyMemory<byte>) (model: SentencePieceModel) : SentencePieceModel =
        let file = model.File

        model
        |> Protobuf.fold file message (fun model field ->
            match field.Number with
            | 3 ->
                match Protobuf.int32 file field with
                | 1 -> { model with IsBpe = false }
                | 2 -> { model with IsBpe = true }
                | other ->
                    fail
                        file
                        $"trainer_spec.model_type: expected 1 (Unigram) or 2 (BPE), found {other}: words and characters are not supported"
            | 24 when Protobuf.bool file field ->
                fail file "trainer_spec.treat_whitespace_as_suffix: that is not supported"
            | 35 ->
                { model with
                    ByteFallback = Protobuf.bool file field }
            | 41 ->
                { model with
                    Bos = Protobuf.int32 file field }
            | 42 ->
                { model with
                    Eos = Protobuf.int32 file field }
            | 43 ->
                { model with
                    Pad = Protobuf.int32 file field }
            | _ -> model)

    let private readNormalizer (message: ReadOnlyMemory<byte>) (model: SentencePieceModel) : SentencePieceModel =
        let file = model.File

        model
        |> Protobuf.fold file message (fun model field ->
            match field.Number with
            | 2 ->
                { model with
                    Charsmap = Protobuf.bytes file field }
            | 3 ->
                { model with
                    AddDummyPrefix = Protobuf.bool file field }
            | 4 ->
                { model with
                    RemoveExtraSpaces = Protobuf.bool file field }
            | 5 when not (Protobuf.bool file field) ->
                fail file "normalizer_spec.escape_whitespaces is false: that is not supported"
            | _ -> model)

    /// The model of a file's bytes.
    let parse (file: string) (bytes: ReadOnlyMemory<byte>) : SentencePieceModel =
        let pieces = ResizeArray<SentencePiece>()

        let model =
            ref
                { File = file
                  Pieces = [||]
                  IsBpe = false
                  ByteFallback = false
                  Bos = 1
                  Eos = 2
                  Pad = -1
                  Charsmap = ReadOnlyMemory.Empty
                  AddDummyPrefix = true
                  RemoveExtraSpaces = true }

        Protobuf.fields file bytes (fun field ->
            match field.Number with
            | 1 -> pieces.Add(Protobuf.bytes file field |> readPiece file)
            | 2 -> model.Value <- model.Value |> readTrainer (Protobuf.bytes file field)
            | 3 -> model.Value <- model.Value |> readNormalizer (Protobuf.bytes file field)
            | 5 ->
                // A denormalizer changes decoded text; no model in use has a map there.
                Protobuf.fields file (Protobuf.bytes file field) (fun inner ->
                    if inner.Number = 2 && inner.Bytes.Length > 0 then
                        fail file "denormalizer_spec has a map: that is not supported")
            | _ -> ())

        if pieces.Count = 0 then
            fail file "expected a SentencePiece model, found no pieces"

        { model.Value with
            Pieces = pieces.ToArray() }

    /// The model of a file.
    let read (path: string) : SentencePieceModel =
        let length = FileInfo(path).Length

        if length > sizeLimit then
            fail path $"the file has {length} bytes: expected at most {sizeLimit}"

        parse path (ReadOnlyMemory(File.ReadAllBytes path))
