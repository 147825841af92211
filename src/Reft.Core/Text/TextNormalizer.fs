namespace Reft.Core

open System
open System.Text

/// What happens to a text before it is cut.
type internal TextNormalizer = string -> string

/// The normalizers of tokenizer.json.
[<RequireQualifiedAccess>]
module internal TextNormalizer =

    /// Without Unicode data (InvariantGlobalization) .NET leaves text as it is and says nothing: wrong tokens, silently.
    let private unicode (node: FileNode) (form: NormalizationForm) : TextNormalizer =
        let works =
            try
                "e\u0301".Normalize form = "\u00E9".Normalize form
            with :? PlatformNotSupportedException ->
                false

        if not works then
            raise (
                PlatformNotSupportedException
                    $"{node.File}: {node.Path}: this process has no Unicode normalization (install ICU, or turn InvariantGlobalization off)"
            )

        fun text -> if text.IsNormalized form then text else text.Normalize form

    /// The normalizer that a node describes.
    let rec read (node: FileNode) : TextNormalizer =
        let form form =
            node |> FileNode.only [ "type" ]
            unicode node form

        match node |> FileNode.get "type" |> FileNode.string with
        | "NFC" -> form NormalizationForm.FormC
        | "NFD" -> form NormalizationForm.FormD
        | "NFKC" -> form NormalizationForm.FormKC
        | "NFKD" -> form NormalizationForm.FormKD
        | "Sequence" ->
            node |> FileNode.only [ "type"; "normalizers" ]

            node
            |> FileNode.get "normalizers"
            |> FileNode.items
            |> Seq.map read
            |> Seq.fold (>>) id
        | kind -> FileNode.fail node $"the normalizer '{kind}' is not supported: NFC, NFD, NFKC, NFKD and Sequence are"
