namespace Reft.Core

open System
open System.Text

/// WordPiece: a word is cut greedily from its start into the longest tokens, or is unknown as a whole. And WordLevel, where
/// a word is a token or unknown.
[<RequireQualifiedAccess>]
module internal WordPieceModel =

    let private spelled (bytes: bool) (slice: Slice) =
        if bytes then
            ByteLevel.ofText (slice.ToString())
        else
            slice.ToString()

    let private model (bytes: bool) (vocabulary: Vocabulary) (tokenise: string -> int[]) : TokenModel =
        let memory =
            WordMemory(fun slice result -> spelled bytes slice |> tokenise |> result.AddRange)

        { Tokenise = fun slice result -> memory.Tokenise slice result
          Vocabulary = vocabulary }

    let private length (text: string) =
        let mutable count = 0

        for _ in text.EnumerateRunes() do
            count <- count + 1

        count

    /// The model that a node of the kind WordPiece describes.
    let read (bytes: bool) (node: FileNode) : TokenModel =
        node
        |> FileNode.only
            [ "type"
              "unk_token"
              "continuing_subword_prefix"
              "max_input_chars_per_word"
              "vocab" ]

        let vocabulary = node |> FileNode.get "vocab" |> TokenModel.readVocabulary
        let unknown = node |> FileNode.get "unk_token" |> TokenModel.readUnknown vocabulary

        let prefix =
            node
            |> FileNode.tryGet "continuing_subword_prefix"
            |> Option.map FileNode.string
            |> Option.defaultValue "##"

        let longestWord =
            node
            |> FileNode.tryGet "max_input_chars_per_word"
            |> Option.map FileNode.natural
            |> Option.defaultValue 100

        // No longer part of a word is worth looking up.
        let longestToken = vocabulary.Ids.Keys |> Seq.map _.Length |> Seq.max

        /// The longest token at a place, and where it ends; −1 if there is none.
        let tokenAt (word: string) (start: int) : struct (int * int) =
            let mutable stop = min word.Length (start + longestToken)
            let mutable found = -1

            while found < 0 && stop > start do
                if stop < word.Length && Char.IsLowSurrogate word[stop] then
                    stop <- stop - 1
                else
                    let part = word.Substring(start, stop - start)

                    match vocabulary.Ids.TryGetValue(if start = 0 then part else prefix + part) with
                    | true, id -> found <- id
                    | _ -> stop <- stop - 1

            struct (found, stop)

        model bytes vocabulary (fun word ->
            if length word > longestWord then
                [| unknown |]
            else
                let ids = ResizeArray<int>()
                let mutable start = 0

                while start < word.Length do
                    let struct (id, stop) = tokenAt word start

                    if id < 0 then
                        ids.Clear()
                        ids.Add unknown
                        start <- word.Length
                    else
                        ids.Add id
                        start <- stop

                ids.ToArray())

    /// The model that a node of the kind WordLevel describes.
    let readWordLevel (bytes: bool) (node: FileNode) : TokenModel =
        node |> FileNode.only [ "type"; "unk_token"; "vocab" ]
        let vocabulary = node |> FileNode.get "vocab" |> TokenModel.readVocabulary
        let unknown = node |> FileNode.get "unk_token" |> TokenModel.readUnknown vocabulary

        model bytes vocabulary (fun word ->
            match vocabulary.Ids.TryGetValue word with
            | true, id -> [| id |]
            | _ -> [| unknown |])
