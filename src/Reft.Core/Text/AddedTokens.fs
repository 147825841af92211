namespace Reft.Core

open System
open System.Buffers
open System.Collections.Generic
open System.Text

/// A token that is cut out of the text before anything else sees it.
type internal AddedToken =
    { Id: int
      Content: string
      SingleWord: bool
      StripLeft: bool
      StripRight: bool
      Normalized: bool
      Special: bool }

/// A part of a text: still text, and whether the whole text begins with it, or a token already.
[<Struct; RequireQualifiedAccess>]
type internal Segment =
    | Text of text: string * first: bool
    | Token of id: int

/// Cutting added tokens out of a text, as Hugging Face's tokenizers do: leftmost first, and there the longest.
[<RequireQualifiedAccess>]
module internal AddedTokens =

    let private flags = [ "single_word"; "lstrip"; "rstrip"; "normalized"; "special" ]

    /// A token from its object, whose id may stand elsewhere (tokenizer_config.json has it as the key).
    let readObject (id: int) (node: FileNode) : AddedToken =
        let content = node |> FileNode.get "content" |> FileNode.string

        if content = "" then
            FileNode.fail node "the token has no characters"

        let special = node |> FileNode.flag "special" false

        { Id = id
          Content = content
          SingleWord = node |> FileNode.flag "single_word" false
          StripLeft = node |> FileNode.flag "lstrip" false
          StripRight = node |> FileNode.flag "rstrip" false
          Normalized = node |> FileNode.flag "normalized" (not special)
          Special = special }

    /// A token of tokenizer.json.
    let read (node: FileNode) : AddedToken =
        node |> FileNode.only ("id" :: "content" :: flags)
        readObject (node |> FileNode.get "id" |> TokenModel.boundedId) node

    let private endsInWord (text: ReadOnlySpan<char>) =
        let mutable rune = Rune()
        let mutable consumed = 0

        Rune.DecodeLastFromUtf16(text, &rune, &consumed) = OperationStatus.Done
        && CharacterClass.isWord rune

    let private startsWithWord (text: ReadOnlySpan<char>) =
        let mutable rune = Rune()
        let mutable consumed = 0

        Rune.DecodeFromUtf16(text, &rune, &consumed) = OperationStatus.Done
        && CharacterClass.isWord rune

    /// The tokens by first character, the longest first, and a fast search for any of them.
    let private index (tokens: (string * AddedToken) list) =
        let byFirst = Dictionary<char, (string * AddedToken)[]>()

        for first, group in tokens |> List.groupBy (fun (content, _) -> content[0]) do
            byFirst[first] <-
                group
                |> List.sortByDescending (fun (content, _) -> content.Length)
                |> List.toArray

        let contents = tokens |> List.map fst |> List.toArray
        SearchValues.Create(contents.AsSpan(), StringComparison.Ordinal), byFirst

    /// A function that cuts a text at the given tokens, each looked for as the text beside it. It is told whether its text
    /// is where the whole one begins.
    let cutter (tokens: (string * AddedToken) list) : bool -> string -> Segment list =
        match tokens with
        | [] -> fun first text -> if text = "" then [] else [ Segment.Text(text, first) ]
        | _ ->
            let search, byFirst = index tokens

            fun first text ->
                let segments = ResizeArray<Segment>()
                let mutable taken = 0
                let mutable from = 0
                let mutable searching = true

                let rest until =
                    if taken < until then
                        segments.Add(Segment.Text(text.Substring(taken, until - taken), first && taken = 0))

                while searching do
                    let offset = text.AsSpan(from).IndexOfAny search

                    if offset < 0 then
                        searching <- false
                    else
                        let start = from + offset

                        let content, token =
                            byFirst[text[start]]
                            |> Array.find (fun (content, _) ->
                                text.AsSpan(start).StartsWith(content.AsSpan(), StringComparison.Ordinal))

                        let stop = start + content.Length
                        from <- stop

                        let insideWord =
                            token.SingleWord
                            && (endsInWord (text.AsSpan(0, start)) || startsWithWord (text.AsSpan stop))

                        if not insideWord then
                            let mutable left = start
                            let mutable right = stop

                            if token.StripLeft then
                                while left > taken && Char.IsWhiteSpace text[left - 1] do
                                    left <- left - 1

                            if token.StripRight then
                                while right < text.Length && Char.IsWhiteSpace text[right] do
                                    right <- right + 1

                            rest left
                            segments.Add(Segment.Token token.Id)
                            taken <- right

                rest text.Length
                List.ofSeq segments
