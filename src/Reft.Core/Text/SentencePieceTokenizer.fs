namespace Reft.Core

open System
open System.Collections.Generic
open System.Linq
open System.Text

/// <summary>
/// A SentencePiece model as the parts of a tokenizer: the ones that transformers' conversion to <c>tokenizer.json</c> gives,
/// so that a folder gives the same ids with either file.
/// </summary>
[<RequireQualifiedAccess>]
module internal SentencePieceTokenizer =

    /// No piece in use is nearly as long: finding a piece's merges takes time with the square of its length.
    let private longestPiece = 256

    let private vocabularyOf (model: SentencePieceModel) : Vocabulary =
        let ids = Dictionary<string, int>(model.Pieces.Length, StringComparer.Ordinal)
        let tokens = Dictionary<int, string> model.Pieces.Length

        model.Pieces
        |> Array.iteri (fun id piece ->
            if not (ids.TryAdd(piece.Text, id)) then
                SentencePieceModel.fail
                    model.File
                    $"the piece '{piece.Text}' is there twice, with the ids {ids[piece.Text]} and {id}"

            tokens[id] <- piece.Text)

        { Ids = ids; Tokens = tokens }

    let private unknownOf (model: SentencePieceModel) : int =
        match
            model.Pieces
            |> Array.indexed
            |> Array.filter (fun (_, piece) -> piece.Kind = PieceKind.Unknown)
        with
        | [| id, _ |] -> id
        | found -> SentencePieceModel.fail model.File $"expected one piece of the type unknown, found {found.Length}"

    /// The number of code points.
    let private length (text: string) =
        let mutable count = text.Length

        for c in text do
            if Char.IsLowSurrogate c then
                count <- count - 1

        count

    /// A piece made of two others, as candidates for its merge.
    [<Struct>]
    type private Candidate =
        { Left: string
          Right: string
          Score: float32
          LeftLength: int
          RightLength: int }

    /// Every way to make a piece of two, in the order in which transformers lists the merges: by score, and of one score
    /// those with the longer left part first.
    let private candidates (model: SentencePieceModel) (vocabulary: Vocabulary) : Candidate seq =
        let merges = ResizeArray<Candidate>()

        for piece in model.Pieces do
            if
                piece.Kind <> PieceKind.Byte
                && piece.Kind <> PieceKind.Control
                && piece.Kind <> PieceKind.Unknown
            then
                if piece.Text.Length > longestPiece then
                    SentencePieceModel.fail
                        model.File
                        $"a piece has {piece.Text.Length} characters: expected at most {longestPiece}"

                let own = ResizeArray<struct (int * int * Candidate)>()

                for at in 1 .. piece.Text.Length - 1 do
                    if not (Char.IsLowSurrogate piece.Text[at]) then
                        let left, right = piece.Text.Substring(0, at), piece.Text.Substring at

                        match vocabulary.Ids.TryGetValue left, vocabulary.Ids.TryGetValue right with
                        | (true, l), (true, r) ->
                            own.Add(
                                struct (l,
                                        r,
                                        { Left = left
                                          Right = right
                                          Score = piece.Score
                                          LeftLength = length left
                                          RightLength = length right })
                            )
                        | _ -> ()

                own.OrderBy(fun (struct (l, _, _)) -> l).ThenBy(fun (struct (_, r, _)) -> r)
                |> Seq.iter (fun (struct (_, _, candidate)) -> merges.Add candidate)

        merges.OrderByDescending(_.Score).ThenByDescending(_.LeftLength).ThenByDescending(_.RightLength)

    let private bytePair (model: SentencePieceModel) (vocabulary: Vocabulary) : TokenModel =
        let merges = candidates model vocabulary |> Seq.toArray

        if merges.Length > BytePairModel.mostMerges then
            SentencePieceModel.fail
                model.File
                $"its pieces make {merges.Length} merges: expected at most {BytePairModel.mostMerges}"

        let table = PairTable merges.Length

        let joints =
            BytePairModel.Joints(
                vocabulary,
                fun token ->
                    let kind = model.Pieces[vocabulary.Ids[token]].Kind
                    kind = PieceKind.Byte || kind = PieceKind.Unknown
            )

        merges
        |> Array.iteri (fun rank merge ->
            let id (token: string) = vocabulary.Ids[token]

            table.Set(id merge.Left, id merge.Right, (int64 rank <<< 32) ||| int64 (id (merge.Left + merge.Right)))

            joints.Add(merge.Left, merge.Right))

        BytePairModel.ofOptions
            { Vocabulary = vocabulary
              Merges = table
              Unknown = unknownOf model
              FuseUnknown = true
              IgnoreMerges = false
              ByteTokens =
                if
                    model.ByteFallback
                    || model.Pieces |> Array.exists (fun piece -> piece.Kind = PieceKind.Byte)
                then
                    Some(TokenModel.byteTokens vocabulary)
                else
                    None
              Prefix = ""
              Suffix = ""
              Bytes = false
              Joined = joints.Result }

    let private unigram (model: SentencePieceModel) : TokenModel =
        UnigramModel.ofOptions
            { File = model.File
              Tokens = model.Pieces |> Array.map (fun piece -> piece.Text, float piece.Score)
              Unknown = Some(unknownOf model)
              ByteFallback = model.ByteFallback
              Bytes = false }

    /// Control pieces and the unknown one are special, those of the user are not; all are looked for in the text as it is.
    let added (model: SentencePieceModel) : AddedToken list =
        [ for id in 0 .. model.Pieces.Length - 1 do
              let piece = model.Pieces[id]

              match piece.Kind with
              | PieceKind.Control
              | PieceKind.Unknown
              | PieceKind.UserDefined ->
                  { Id = id
                    Content = piece.Text
                    SingleWord = false
                    StripLeft = false
                    StripRight = false
                    Normalized = false
                    Special = piece.Kind <> PieceKind.UserDefined }
              | _ -> () ]

    let private spaces = string Metaspace.space

    let private manySpaces = SplitPattern.Trusted " {2,}"

    let private cleaned (model: SentencePieceModel) : TextNormalizer =
        let mapped =
            if model.Charsmap.Length = 0 then
                id
            else
                let where = $"{model.File}: normalizer_spec.precompiled_charsmap"
                (Charsmap.OfBytes(where, model.Charsmap.Span)).Normalise

        if model.RemoveExtraSpaces then
            mapped >> _.TrimEnd() >> Pattern.replace manySpaces.Pieces spaces
        else
            mapped

    /// What surrounds the model: before it, and after it.
    [<NoEquality; NoComparison>]
    type Surroundings =
        { Normalise: TextNormalizer
          Cut: Cutter
          Decoder: TokenDecoder }

    /// The tokens of a model, and what surrounds it. In legacy files every text after a special token gets a space in
    /// front, in newer ones the first text alone.
    let parts (legacy: bool) (model: SentencePieceModel) : TokenModel * Surroundings =
        let vocabulary = vocabularyOf model
        let clean = cleaned model

        let scheme =
            if not model.AddDummyPrefix then MetaspaceScheme.Never
            elif legacy then MetaspaceScheme.Always
            else MetaspaceScheme.First

        if not model.IsBpe then
            unigram model,
            { Normalise = clean
              Cut = PreTokenizer.metaspace Metaspace.space scheme true
              Decoder = TokenDecoder.metaspace Metaspace.space scheme }
        else
            let decoder = TokenDecoder.bytesAndSpaces model.AddDummyPrefix

            let escape (text: string) = text.Replace(' ', Metaspace.space)

            bytePair model vocabulary,
            match scheme with
            | MetaspaceScheme.First ->
                { Normalise = clean
                  Cut = PreTokenizer.metaspace Metaspace.space scheme false
                  Decoder = decoder }
            | MetaspaceScheme.Always ->
                { Normalise = clean >> TextNormalizer.prepend spaces >> escape
                  Cut = id
                  Decoder = decoder }
            | MetaspaceScheme.Never ->
                { Normalise = clean >> escape
                  Cut = id
                  Decoder = decoder }
