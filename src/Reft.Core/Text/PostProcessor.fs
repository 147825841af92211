namespace Reft.Core

/// A part of the frame around two texts, with the number of its segment.
[<RequireQualifiedAccess>]
type internal PairPiece =
    | Special of ids: int list * segment: int
    | First of segment: int
    | Second of segment: int

/// The tokens that go around a text, or around two.
type internal Frame =
    {
        Prefix: int list
        Suffix: int list
        /// Empty where the file has no template that takes both.
        Pair: PairPiece list
    }

/// The post-processors of tokenizer.json.
[<RequireQualifiedAccess>]
module internal PostProcessor =

    let none =
        { Prefix = []
          Suffix = []
          Pair = [ PairPiece.First 0; PairPiece.Second 1 ] }

    /// The same tokens around each of two texts.
    let each (prefix: int list) (suffix: int list) : Frame =
        { Prefix = prefix
          Suffix = suffix
          Pair =
            [ PairPiece.Special(prefix, 0)
              PairPiece.First 0
              PairPiece.Special(suffix, 0)
              PairPiece.Special(prefix, 1)
              PairPiece.Second 1
              PairPiece.Special(suffix, 1) ] }

    /// BERT's: one separator behind each of two texts.
    let bert (cls: int) (sep: int) : Frame =
        { Prefix = [ cls ]
          Suffix = [ sep ]
          Pair =
            [ PairPiece.Special([ cls ], 0)
              PairPiece.First 0
              PairPiece.Special([ sep ], 0)
              PairPiece.Second 1
              PairPiece.Special([ sep ], 1) ] }

    /// RoBERTa's: two separators between texts, and one segment.
    let roberta (cls: int) (sep: int) : Frame =
        { Prefix = [ cls ]
          Suffix = [ sep ]
          Pair =
            [ PairPiece.Special([ cls ], 0)
              PairPiece.First 0
              PairPiece.Special([ sep; sep ], 0)
              PairPiece.Second 0
              PairPiece.Special([ sep ], 0) ] }

    /// `["</s>", 2]`
    let private pair (node: FileNode) : int =
        match node |> FileNode.items |> Seq.toList with
        | [ token; id ] ->
            FileNode.string token |> ignore
            FileNode.id id
        | _ -> FileNode.fail node "expected a token and its id"

    let private template (node: FileNode) : Frame =
        node |> FileNode.only [ "type"; "single"; "pair"; "special_tokens" ]
        let special = node |> FileNode.get "special_tokens"

        let idsOf (piece: FileNode) =
            let name = piece |> FileNode.get "id" |> FileNode.string

            match special |> FileNode.tryGet name with
            | Some token ->
                token
                |> FileNode.get "ids"
                |> FileNode.items
                |> Seq.map FileNode.id
                |> Seq.toList
            | None -> FileNode.fail piece $"the template uses '{name}', which special_tokens does not define"

        let segment (piece: FileNode) =
            match piece |> FileNode.tryGet "type_id" with
            | Some number -> FileNode.id number
            | None -> 0

        let pair =
            match node |> FileNode.tryGet "pair" with
            | None -> none.Pair
            | Some pieces ->
                [ for piece in FileNode.items pieces do
                      match FileNode.members piece |> Seq.toList with
                      | [ "SpecialToken", token ] -> PairPiece.Special(idsOf token, segment token)
                      | [ "Sequence", text ] ->
                          match text |> FileNode.get "id" |> FileNode.string with
                          | "A" -> PairPiece.First(segment text)
                          | "B" -> PairPiece.Second(segment text)
                          | other -> FileNode.fail text $"expected the sequence A or B, found '{other}'"
                      | _ -> FileNode.fail piece "expected a SpecialToken or a Sequence" ]

        let times chosen =
            pair |> List.filter chosen |> List.length

        // Only who encodes two texts needs a template for them.
        let pair =
            if times _.IsFirst = 1 && times _.IsSecond = 1 then
                pair
            else
                []

        // A single text is all in the first segment.
        let pieces =
            [ for piece in node |> FileNode.get "single" |> FileNode.items do
                  match FileNode.members piece |> Seq.toList with
                  | [ "SpecialToken", token ] -> Some(idsOf token)
                  | [ "Sequence", text ] when (text |> FileNode.get "id" |> FileNode.string) = "A" -> None
                  | _ -> FileNode.fail piece "expected a SpecialToken or the Sequence A" ]

        match pieces |> List.filter Option.isNone |> List.length with
        | 1 ->
            let at = pieces |> List.findIndex Option.isNone
            let before, after = pieces |> List.splitAt at
            let ids = List.choose id >> List.concat

            { Prefix = ids before
              Suffix = ids after
              Pair = pair }
        | count -> FileNode.fail node $"the template for one text has {count} places for it: expected one"

    /// What a node puts around a text.
    let rec read (node: FileNode) : Frame =
        match node |> FileNode.get "type" |> FileNode.string with
        | "ByteLevel" ->
            // It moves offsets and leaves the tokens alone.
            node
            |> FileNode.only [ "type"; "add_prefix_space"; "trim_offsets"; "use_regex" ]

            none
        | "TemplateProcessing" -> template node
        | "RobertaProcessing"
        | "BertProcessing" as kind ->
            node
            |> FileNode.only [ "type"; "sep"; "cls"; "trim_offsets"; "add_prefix_space" ]

            let cls = node |> FileNode.get "cls" |> pair
            let sep = node |> FileNode.get "sep" |> pair

            if kind = "BertProcessing" then
                bert cls sep
            else
                roberta cls sep
        | "Sequence" ->
            node |> FileNode.only [ "type"; "processors" ]

            (none, node |> FileNode.get "processors" |> FileNode.items |> Seq.map read)
            ||> Seq.fold (fun inner outer ->
                { Prefix = outer.Prefix @ inner.Prefix
                  Suffix = inner.Suffix @ outer.Suffix
                  // ByteLevel and its like change nothing; the other one says where texts stand.
                  Pair = if outer.Pair = none.Pair then inner.Pair else outer.Pair })
        | kind ->
            FileNode.fail
                node
                $"the post-processor '{kind}' is not supported: ByteLevel, TemplateProcessing, RobertaProcessing, BertProcessing and Sequence are"
