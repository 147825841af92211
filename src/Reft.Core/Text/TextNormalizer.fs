namespace Reft.Core

open System
open System.IO
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

    /// Every character through a function that appends what takes its place.
    let private perRune (append: StringBuilder -> Rune -> unit) : TextNormalizer =
        fun text ->
            let out = StringBuilder text.Length

            for rune in text.EnumerateRunes() do
                append out rune

            out.ToString()

    let private add (out: StringBuilder) (rune: Rune) = out.Append(rune.ToString()) |> ignore

    let private without (dropped: Rune -> bool) : TextNormalizer =
        perRune (fun out rune ->
            if not (dropped rune) then
                add out rune)

    /// Each character by itself, as Rust's char::to_lowercase: İ alone becomes two, and a final sigma is none.
    let lowercase: TextNormalizer =
        fun text ->
            let lower = text.ToLowerInvariant()

            if lower.Contains '\u0130' || text.Contains '\u0130' then
                // Whatever .NET makes of İ, Unicode's unconditional mapping is i and a dot above.
                text
                |> perRune (fun out rune ->
                    if rune.Value = 0x130 then
                        out.Append "i\u0307" |> ignore
                    else
                        add out (Rune.ToLowerInvariant rune))
            else
                lower

    let private cleanText: TextNormalizer =
        perRune (fun out rune ->
            if rune.Value = 0 || rune.Value = 0xFFFD || CharacterClass.isControl rune then
                ()
            elif Rune.IsWhiteSpace rune then
                out.Append ' ' |> ignore
            else
                add out rune)

    let private apartChinese: TextNormalizer =
        perRune (fun out rune ->
            if CharacterClass.isChinese rune then
                out.Append(' ').Append(rune.ToString()).Append(' ') |> ignore
            else
                add out rune)

    let private isNonSpacingMark (rune: Rune) =
        Rune.GetUnicodeCategory rune = Globalization.UnicodeCategory.NonSpacingMark

    let private bert (node: FileNode) : TextNormalizer =
        node
        |> FileNode.only [ "type"; "clean_text"; "handle_chinese_chars"; "strip_accents"; "lowercase" ]

        let flag name = node |> FileNode.flag name true
        let lower = flag "lowercase"

        [ if flag "clean_text" then
              cleanText
          if flag "handle_chinese_chars" then
              apartChinese
          // Accents go with the capitals unless the file says otherwise.
          if node |> FileNode.flag "strip_accents" lower then
              unicode node NormalizationForm.FormD
              without isNonSpacingMark
          if lower then
              lowercase ]
        |> List.fold (>>) id

    /// The normalization of Google's translation models: control characters go, odd spaces become plain ones.
    let private nmt: TextNormalizer =
        perRune (fun out rune ->
            let value = rune.Value

            if
                (value >= 0x01 && value <= 0x08)
                || value = 0x0B
                || (value >= 0x0E && value <= 0x1F)
                || value = 0x7F
                || value = 0x8F
                || value = 0x9F
            then
                ()
            elif
                value = 0x09
                || value = 0x0A
                || value = 0x0C
                || value = 0x0D
                || value = 0x1680
                || (value >= 0x200B && value <= 0x200F)
                || value = 0x2028
                || value = 0x2029
                || value = 0x2581
                || value = 0xFEFF
                || value = 0xFFFD
            then
                out.Append ' ' |> ignore
            else
                add out rune)

    let private strip (left: bool) (right: bool) : TextNormalizer =
        fun text ->
            let text = if left then text.TrimStart() else text
            if right then text.TrimEnd() else text

    let private precompiled (node: FileNode) : TextNormalizer =
        node |> FileNode.only [ "type"; "precompiled_charsmap" ]

        match node |> FileNode.tryGet "precompiled_charsmap" with
        | None -> id
        | Some map ->
            let bytes =
                try
                    map |> FileNode.string |> Convert.FromBase64String
                with :? FormatException as e ->
                    FileNode.fail map $"expected base64: {e.Message}"

            if bytes.Length = 0 then
                id
            else
                (Charsmap.OfBytes($"{map.File}: {map.Path}", ReadOnlySpan bytes)).Normalise

    /// A normalizer that puts a text before one that has characters.
    let prepend (content: string) : TextNormalizer =
        fun text -> if text = "" then text else content + text

    /// No text in use grows more than NFKD's worst character does, which becomes 18.
    let private growth = 32

    /// One step after the other. Steps that each lengthen a text could make it any size: beyond a bound that is refused.
    let private inTurn (node: FileNode) (steps: TextNormalizer[]) : TextNormalizer =
        fun text ->
            let limit = int64 growth * (int64 text.Length + 128L)

            (text, steps)
            ||> Array.fold (fun text step ->
                let result = step text

                if int64 result.Length > limit then
                    raise (
                        InvalidDataException
                            $"{node.File}: {node.Path}: the normalizers make {result.Length} characters of a text that has fewer than 1/{growth} of that"
                    )

                result)

    /// The names of what `read` knows.
    let private known =
        "NFC, NFD, NFKC, NFKD, Lowercase, StripAccents, BertNormalizer, Replace, Prepend, Strip, Nmt, Precompiled, ByteLevel and Sequence"

    /// The normalizer that a node describes.
    let rec read (node: FileNode) : TextNormalizer =
        let plain normaliser =
            node |> FileNode.only [ "type" ]
            normaliser

        match node |> FileNode.get "type" |> FileNode.string with
        | "NFC" -> unicode node NormalizationForm.FormC |> plain
        | "NFD" -> unicode node NormalizationForm.FormD |> plain
        | "NFKC" -> unicode node NormalizationForm.FormKC |> plain
        | "NFKD" -> unicode node NormalizationForm.FormKD |> plain
        | "Lowercase" -> plain lowercase
        | "StripAccents" -> without CharacterClass.isMark |> plain
        | "BertNormalizer" -> bert node
        | "Replace" -> Pattern.readReplacement node
        | "Prepend" ->
            node |> FileNode.only [ "type"; "prepend" ]
            node |> FileNode.get "prepend" |> Pattern.content |> prepend
        | "Strip" ->
            node |> FileNode.only [ "type"; "strip_left"; "strip_right" ]

            let side name =
                node |> FileNode.get name |> FileNode.bool

            strip (side "strip_left") (side "strip_right")
        | "Nmt" -> plain nmt
        | "Precompiled" -> precompiled node
        | "ByteLevel" -> plain ByteLevel.ofText
        | "Sequence" ->
            node |> FileNode.only [ "type"; "normalizers" ]

            node
            |> FileNode.get "normalizers"
            |> FileNode.items
            |> Seq.map read
            |> Seq.toArray
            |> inTurn node
        | kind -> FileNode.fail node $"the normalizer '{kind}' is not supported: {known} are"
