namespace Reft.Core

/// Where Metaspace puts its character although the text has no space there.
[<RequireQualifiedAccess>]
type internal MetaspaceScheme =
    | Always
    | First
    | Never

/// SentencePiece's visible space, U+2581 as a rule, in pre-tokenizers and decoders.
type internal Metaspace =
    { Replacement: char
      Scheme: MetaspaceScheme
      Split: bool }

[<RequireQualifiedAccess>]
module internal Metaspace =

    /// SentencePiece's own.
    let space = '\u2581'

    /// The options of a node.
    let read (node: FileNode) : Metaspace =
        node
        |> FileNode.only
            [ "type"
              "replacement"
              "str_rep"
              "add_prefix_space"
              "prepend_scheme"
              "split" ]

        let replacement = node |> FileNode.get "replacement"

        let scheme =
            match node |> FileNode.tryGet "prepend_scheme" with
            | None -> MetaspaceScheme.Always
            | Some scheme ->
                match FileNode.string scheme with
                | "always" -> MetaspaceScheme.Always
                | "first" -> MetaspaceScheme.First
                | "never" -> MetaspaceScheme.Never
                | other -> FileNode.fail scheme $"expected always, first or never, found '{other}'"

        // What older files say of the first word; newer ones repeat it.
        match node |> FileNode.tryGet "add_prefix_space" with
        | Some flag when not (FileNode.bool flag) && scheme <> MetaspaceScheme.Never ->
            FileNode.fail flag "add_prefix_space is false, but prepend_scheme is not 'never'"
        | _ -> ()

        match FileNode.string replacement with
        | text when text.Length = 1 ->
            { Replacement = text[0]
              Scheme = scheme
              Split = node |> FileNode.flag "split" true }
        | _ -> FileNode.fail replacement "expected one character of up to U+FFFF"
