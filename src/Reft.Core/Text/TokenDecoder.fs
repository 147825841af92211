namespace Reft.Core

open System
open System.Collections.Generic
open System.IO
open System.Text
open System.Text.Unicode

/// What takes tokens one by one, and is told when there are no more.
[<NoEquality; NoComparison>]
type internal TokenSink =
    { Token: string -> unit
      End: unit -> unit }

/// A step of a decoder: it turns what takes its results into what takes its tokens. It keeps what it must between the two.
type internal TokenDecoder = TokenSink -> TokenSink

/// The decoders of tokenizer.json, as Hugging Face's tokenizers decode, token by token.
[<RequireQualifiedAccess>]
module internal TokenDecoder =

    /// A step that sees each token, and which one it is.
    let private each (change: int -> string -> string) : TokenDecoder =
        fun next ->
            let index = ref 0

            { Token =
                fun token ->
                    next.Token(change index.Value token)
                    index.Value <- index.Value + 1
              End = next.End }

    /// Without a decoder tokens are words.
    let spaced: TokenDecoder =
        each (fun index token -> if index = 0 then token else " " + token)

    /// The bytes that tokens stand for, as text. A character comes when its last byte does.
    let byteLevel: TokenDecoder =
        fun next ->
            let utf8 = Encoding.UTF8.GetDecoder()

            let decode (bytes: byte[]) flush =
                let chars = Array.zeroCreate<char>(Encoding.UTF8.GetMaxCharCount(bytes.Length + 4))
                let count = utf8.GetChars(bytes, 0, bytes.Length, chars, 0, flush)

                if count > 0 then
                    next.Token(String(chars, 0, count))

            { Token = fun token -> decode (ByteLevel.bytesOf token) false
              End =
                fun () ->
                    decode [||] true
                    next.End() }

    let private byteOf (token: string) : byte voption =
        if
            token.Length = 6
            && token.StartsWith("<0x", StringComparison.Ordinal)
            && token[5] = '>'
            && Char.IsAsciiHexDigit token[3]
            && Char.IsAsciiHexDigit token[4]
        then
            ValueSome(Convert.ToByte(token.Substring(3, 2), 16))
        else
            ValueNone

    /// Byte tokens in a row are a text, or, if they are not UTF-8, as many U+FFFD: known when the row has ended.
    let byteFallback: TokenDecoder =
        fun next ->
            let row = List<byte>()

            let close () =
                if row.Count > 0 then
                    let bytes = row.ToArray()
                    row.Clear()

                    if Utf8.IsValid(ReadOnlySpan bytes) then
                        next.Token(Encoding.UTF8.GetString bytes)
                    else
                        for _ in bytes do
                            next.Token "\uFFFD"

            { Token =
                fun token ->
                    match byteOf token with
                    | ValueSome b -> row.Add b
                    | ValueNone ->
                        close ()
                        next.Token token
              End =
                fun () ->
                    close ()
                    next.End() }

    /// One token of all.
    let private gather: TokenDecoder =
        fun next ->
            let all = StringBuilder()

            { Token = fun token -> all.Append token |> ignore
              End =
                fun () ->
                    next.Token(all.ToString())
                    next.End() }

    /// The text without so many of a character at its start and at its end, if it has them.
    let private strip (c: char) (start: int) (stop: int) (text: string) : string =
        let mutable first = 0
        let mutable last = text.Length

        while first < last && first < start && text[first] = c do
            first <- first + 1

        let least = text.Length - min stop text.Length

        while last > first && last > least && text[last - 1] = c do
            last <- last - 1

        text.Substring(first, last - first)

    /// The same for one long token that comes in parts: what may have to go at its end is kept back.
    let private stripParts (c: char) (start: int) (stop: int) : TokenDecoder =
        fun next ->
            let toSkip = ref start
            let keptBack = ref 0

            let pass (text: string) =
                if text <> "" then
                    next.Token text

            let flush (text: string) =
                // The characters kept back turned out not to be the last ones.
                if text <> "" then
                    if keptBack.Value > 0 then
                        pass (String(c, keptBack.Value))
                        keptBack.Value <- 0

                    pass text

            { Token =
                fun part ->
                    let mutable first = 0

                    while first < part.Length && toSkip.Value > 0 && part[first] = c do
                        first <- first + 1
                        toSkip.Value <- toSkip.Value - 1

                    if first < part.Length then
                        toSkip.Value <- 0

                    let mutable last = part.Length

                    if stop > 0 then
                        while last > first && part[last - 1] = c do
                            last <- last - 1

                    flush (part.Substring(first, last - first))
                    keptBack.Value <- keptBack.Value + part.Length - last
              End =
                fun () ->
                    pass (String(c, max 0 (keptBack.Value - stop)))
                    next.End() }

    /// Metaspace's character as a space, without the ones before the first word.
    let metaspace (replacement: char) (scheme: MetaspaceScheme) : TokenDecoder =
        each (fun index token ->
            if index = 0 && scheme <> MetaspaceScheme.Never then
                token.Replace(string replacement, "")
            else
                token.Replace(replacement, ' '))

    /// What Llama's files declare: spaces, bytes, and, if a space was put before the text, the text without it.
    let bytesAndSpaces (prefixed: bool) : TokenDecoder =
        let parts =
            byteFallback >> each (fun _ token -> token.Replace(Metaspace.space, ' '))

        if prefixed then stripParts ' ' 1 0 >> parts else parts

    /// The spaces that English writes no longer, in this order.
    let private cleanups =
        [ " .", "."
          " ?", "?"
          " !", "!"
          " ,", ","
          " ' ", "'"
          " n't", "n't"
          " 'm", "'m"
          " do not", " don't"
          " 's", "'s"
          " 've", "'ve"
          " 're", "'re" ]

    let private cleanUp (text: string) =
        (text, cleanups)
        ||> List.fold (fun text (before: string, after: string) ->
            text.Replace(before, after, StringComparison.Ordinal))

    let private wordPiece (prefix: string) (cleanup: bool) : TokenDecoder =
        each (fun index token ->
            let joined =
                if index = 0 then
                    token
                elif token.StartsWith(prefix, StringComparison.Ordinal) then
                    token.Substring prefix.Length
                else
                    " " + token

            if cleanup then cleanUp joined else joined)

    /// The end of a word becomes a space, that of the last one nothing.
    let private endOfWord (suffix: string) : TokenDecoder =
        fun next ->
            let waiting: string voption ref = ref ValueNone

            let pass (replacement: string) =
                match waiting.Value with
                | ValueSome token -> next.Token(token.Replace(suffix, replacement, StringComparison.Ordinal))
                | ValueNone -> ()

            { Token =
                fun token ->
                    pass " "
                    waiting.Value <- ValueSome token
              End =
                fun () ->
                    pass ""
                    waiting.Value <- ValueNone
                    next.End() }

    /// Steps that each lengthen a token could make it any size.
    let private longestToken = 1 <<< 20

    let private bounded (node: FileNode) (change: string -> string) : TokenDecoder =
        each (fun _ token ->
            if token.Length > longestToken then
                raise (
                    InvalidDataException
                        $"{node.File}: {node.Path}: a token has become {token.Length} characters long: expected at most {longestToken}"
                )

            change token)

    /// A step, and whether the tokens that it gives are parts of one. Steps after such a one must take parts too, or wait for all.
    type private Step = { Decode: TokenDecoder; Fuses: bool }

    let private known =
        "ByteLevel, Metaspace, WordPiece, BPEDecoder, ByteFallback, Fuse, Replace, Strip and Sequence"

    let rec private step (fused: bool) (node: FileNode) : Step =
        let options names = node |> FileNode.only ("type" :: names)

        let perToken (decode: TokenDecoder) =
            { Decode = (if fused then decode >> gather else decode)
              Fuses = fused }

        match node |> FileNode.get "type" |> FileNode.string with
        | "ByteLevel" ->
            // Its options concern the other direction.
            options [ "add_prefix_space"; "trim_offsets"; "use_regex" ]

            { Decode = (if fused then byteLevel >> gather else byteLevel)
              Fuses = true }
        | "ByteFallback" ->
            options []
            perToken byteFallback
        | "Fuse" ->
            options []
            { Decode = id; Fuses = true }
        | "Strip" ->
            options [ "content"; "start"; "stop" ]
            let content = node |> FileNode.get "content"

            let count name =
                node |> FileNode.get name |> FileNode.natural

            match FileNode.string content with
            | text when text.Length = 1 ->
                if fused then
                    { Decode = stripParts text[0] (count "start") (count "stop")
                      Fuses = true }
                else
                    let start, stop = count "start", count "stop"
                    perToken (each (fun _ token -> strip text[0] start stop token))
            | _ -> FileNode.fail content "expected one character of up to U+FFFF"
        | "Replace" -> node |> Pattern.readReplacement |> bounded node |> perToken
        | "Metaspace" ->
            let options = Metaspace.read node
            perToken (metaspace options.Replacement options.Scheme)
        | "WordPiece" ->
            options [ "prefix"; "cleanup" ]
            let prefix = node |> FileNode.get "prefix" |> FileNode.string
            perToken (wordPiece prefix (node |> FileNode.get "cleanup" |> FileNode.bool))
        | "BPEDecoder" ->
            options [ "suffix" ]
            let suffix = node |> FileNode.get "suffix"

            match FileNode.string suffix with
            | "" -> FileNode.fail suffix "expected a suffix of one or more characters"
            | text -> perToken (endOfWord text)
        | "Sequence" ->
            options [ "decoders" ]

            ({ Decode = id; Fuses = fused }, node |> FileNode.get "decoders" |> FileNode.items)
            ||> Seq.fold (fun before node ->
                let next = step before.Fuses node

                // What comes first takes the tokens: it is outermost.
                { Decode = next.Decode >> before.Decode
                  Fuses = next.Fuses })
        | kind -> FileNode.fail node $"the decoder '{kind}' is not supported: {known} are"

    /// The decoder that a node describes.
    let read (node: FileNode) : TokenDecoder = (step false node).Decode
