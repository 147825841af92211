namespace Reft.Core

open System
open System.Collections.Generic

/// A tokenizer as its own file describes it, before tokenizer_config.json has its say.
[<NoEquality; NoComparison>]
type internal TokenizerDraft =
    {
        Model: TokenModel
        Normalise: TextNormalizer
        Cut: Cutter
        Decoder: TokenDecoder
        Frame: Frame
        /// With where each is written, if that is JSON.
        Added: (FileNode option * AddedToken) list
        /// Beginning and end of sequence and padding, if the file names them.
        Named: int option * int option * int option
        /// Names the file in a complaint.
        Fail: string -> exn
    }

/// Putting a tokenizer together.
[<RequireQualifiedAccess>]
module internal TokenizerDraft =

    /// Adds a token, unless its id or its characters are already another's. False if it is there already.
    let private admit (vocabulary: Vocabulary) (added: Vocabulary) (error: string -> exn) (token: AddedToken) : bool =
        for known in [ vocabulary; added ] do
            match known.Ids.TryGetValue token.Content with
            | true, id when id <> token.Id ->
                raise (error $"the token '{token.Content}' has the id {token.Id} here and {id} elsewhere")
            | _ -> ()

            match known.Tokens.TryGetValue token.Id with
            | true, content when content <> token.Content ->
                raise (error $"the id {token.Id} is '{token.Content}' here and '{content}' elsewhere")
            | _ -> ()

        added.Tokens[token.Id] <- token.Content
        added.Ids.TryAdd(token.Content, token.Id)

    /// The added tokens of the file, and those that tokenizer_config.json alone knows.
    let private addedOf (draft: TokenizerDraft) (config: FileNode option) : AddedToken list =
        let added = ResizeArray<AddedToken>()

        let known =
            { Ids = Dictionary<string, int>(StringComparer.Ordinal)
              Tokens = Dictionary<int, string>() }

        let admit = admit draft.Model.Vocabulary known

        for node, token in draft.Added do
            let error = node |> Option.map FileNode.error |> Option.defaultValue draft.Fail

            if not (admit error token) then
                raise (error $"the token '{token.Content}' is listed already")

            added.Add token

        for key, node in
            config
            |> Option.bind (FileNode.tryGet "added_tokens_decoder")
            |> Option.map FileNode.members
            |> Option.defaultValue Seq.empty do
            match Int32.TryParse(key, Globalization.NumberStyles.None, Globalization.CultureInfo.InvariantCulture) with
            | true, id when id < TokenModel.idLimit ->
                let token = AddedTokens.readObject id node

                if admit (FileNode.error node) token then
                    added.Add token
            | _ -> FileNode.fail node $"expected a token id below {TokenModel.idLimit} as the key"

        List.ofSeq added

    /// `"<s>"`, or an object that has it as its content.
    let private readNamed (idOf: string -> int option) (config: FileNode option) (name: string) : int option =
        config
        |> Option.bind (FileNode.tryGet name)
        |> Option.map (fun node ->
            let token =
                match node.Value.ValueKind with
                | Text.Json.JsonValueKind.Object -> node |> FileNode.get "content" |> FileNode.string
                | _ -> FileNode.string node

            match idOf token with
            | Some id -> id
            | None -> FileNode.fail node $"the token '{token}' is not in the vocabulary")

    /// The tokenizer of a draft and the tokenizer_config.json beside it.
    let finish (config: FileNode option) (draft: TokenizerDraft) : TextTokenizer =
        let vocabulary = draft.Model.Vocabulary
        let added = addedOf draft config

        let idOf token =
            match vocabulary.Ids.TryGetValue token with
            | true, id -> Some id
            | _ -> added |> List.tryFind (fun a -> a.Content = token) |> Option.map _.Id

        for id in draft.Frame.Prefix @ draft.Frame.Suffix do
            if not (vocabulary.Tokens.ContainsKey id || added |> List.exists (fun a -> a.Id = id)) then
                raise (draft.Fail $"the post_processor adds the id {id}, which no token has")

        let normalised, raw = added |> List.partition _.Normalized
        let bos, eos, pad = draft.Named

        let named name ifAbsent =
            readNamed idOf config name |> Option.orElse ifAbsent

        TextTokenizer
            { CutRaw = raw |> List.map (fun token -> token.Content, token) |> AddedTokens.cutter
              Normalise = draft.Normalise
              CutNormalised =
                normalised
                |> List.map (fun token -> draft.Normalise token.Content, token)
                // One of which nothing is left cannot be found in a text.
                |> List.filter (fun (content, _) -> content <> "")
                |> AddedTokens.cutter
              PreTokenise = draft.Cut
              Model = draft.Model
              Frame = draft.Frame
              Added = added
              Decoder = draft.Decoder
              Bos = named "bos_token" bos
              Eos = named "eos_token" eos
              Pad = named "pad_token" pad }
