namespace Reft.Core

/// The tokens that go around a text.
type internal Frame = { Prefix: int list; Suffix: int list }

/// The post-processors of tokenizer.json, for single texts.
[<RequireQualifiedAccess>]
module internal PostProcessor =

    let none = { Prefix = []; Suffix = [] }

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

        // type_id concerns token types alone, which decoders have not.
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
              Suffix = ids after }
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
        | "BertProcessing" ->
            node
            |> FileNode.only [ "type"; "sep"; "cls"; "trim_offsets"; "add_prefix_space" ]

            { Prefix = [ node |> FileNode.get "cls" |> pair ]
              Suffix = [ node |> FileNode.get "sep" |> pair ] }
        | "Sequence" ->
            node |> FileNode.only [ "type"; "processors" ]

            (none, node |> FileNode.get "processors" |> FileNode.items |> Seq.map read)
            ||> Seq.fold (fun inner outer ->
                { Prefix = outer.Prefix @ inner.Prefix
                  Suffix = inner.Suffix @ outer.Suffix })
        | kind ->
            FileNode.fail
                node
                $"the post-processor '{kind}' is not supported: ByteLevel, TemplateProcessing, RobertaProcessing, BertProcessing and Sequence are"
