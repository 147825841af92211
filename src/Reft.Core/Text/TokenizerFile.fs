namespace Reft.Core

open System
open System.Collections.Generic
open System.IO

/// <summary>
/// Reading Hugging Face's <c>tokenizer.json</c> and, beside it, <c>tokenizer_config.json</c>: BPE, WordPiece,
/// WordLevel and Unigram, with what goes around them. A kind or an option that is not understood is refused by name.
/// </summary>
/// <remarks>
/// <c>truncation</c> and <c>padding</c> are ignored, as transformers resets them on load: cutting and padding are decided
/// where batches are made. So is the template for pairs of texts.
/// </remarks>
[<RequireQualifiedAccess>]
module TokenizerFile =

    let private readModel (bytes: bool) (node: FileNode) : TokenModel =
        // The first files had no type: Hugging Face takes one with merges for BPE.
        let kind =
            match node |> FileNode.tryGet "type", node |> FileNode.tryGet "merges" with
            | Some kind, _ -> FileNode.string kind
            | None, Some _ -> "BPE"
            | None, None -> FileNode.fail node "expected a member 'type', found none"

        match kind with
        | "BPE" -> BytePairModel.read bytes node
        | "WordPiece" -> WordPieceModel.read bytes node
        | "WordLevel" -> WordPieceModel.readWordLevel bytes node
        | "Unigram" -> UnigramModel.read bytes node
        | kind -> FileNode.fail node $"the model '{kind}' is not supported: BPE, WordPiece, WordLevel and Unigram are"

    let private part (name: string) (ifAbsent: 'a) (read: FileNode -> 'a) (root: FileNode) : 'a =
        root |> FileNode.tryGet name |> Option.map read |> Option.defaultValue ifAbsent

    /// Adds a token, unless its id or its characters are already another's. False if it is there already.
    let private admit (vocabulary: Vocabulary) (added: Vocabulary) (node: FileNode) (token: AddedToken) : bool =
        for known in [ vocabulary; added ] do
            match known.Ids.TryGetValue token.Content with
            | true, id when id <> token.Id ->
                FileNode.fail node $"the token '{token.Content}' has the id {token.Id} here and {id} elsewhere"
            | _ -> ()

            match known.Tokens.TryGetValue token.Id with
            | true, content when content <> token.Content ->
                FileNode.fail node $"the id {token.Id} is '{token.Content}' here and '{content}' elsewhere"
            | _ -> ()

        added.Tokens[token.Id] <- token.Content
        added.Ids.TryAdd(token.Content, token.Id)

    /// The added tokens of tokenizer.json, and those that tokenizer_config.json alone knows.
    let private readAdded (vocabulary: Vocabulary) (root: FileNode) (config: FileNode option) : AddedToken list =
        let added = ResizeArray<AddedToken>()

        let known =
            { Ids = Dictionary<string, int>(StringComparer.Ordinal)
              Tokens = Dictionary<int, string>() }

        for node in
            root
            |> FileNode.tryGet "added_tokens"
            |> Option.map FileNode.items
            |> Option.defaultValue Seq.empty do
            let token = AddedTokens.read node

            if not (admit vocabulary known node token) then
                FileNode.fail node $"the token '{token.Content}' is listed already"

            added.Add token

        for key, node in
            config
            |> Option.bind (FileNode.tryGet "added_tokens_decoder")
            |> Option.map FileNode.members
            |> Option.defaultValue Seq.empty do
            match Int32.TryParse(key, Globalization.NumberStyles.None, Globalization.CultureInfo.InvariantCulture) with
            | true, id when id < TokenModel.idLimit ->
                let token = AddedTokens.readObject id node

                if admit vocabulary known node token then
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

    let private read (root: FileNode) (config: FileNode option) : TextTokenizer =
        root
        |> FileNode.only
            [ "version"
              "truncation"
              "padding"
              "added_tokens"
              "normalizer"
              "pre_tokenizer"
              "post_processor"
              "decoder"
              "model" ]

        let preTokenizer = root |> part "pre_tokenizer" PreTokenizer.none PreTokenizer.read

        let normalise = root |> part "normalizer" id TextNormalizer.read
        let decoder = root |> part "decoder" TokenDecoder.spaced TokenDecoder.read
        let frame = root |> part "post_processor" PostProcessor.none PostProcessor.read
        let model = root |> FileNode.get "model" |> readModel preTokenizer.Bytes

        let added = readAdded model.Vocabulary root config

        let idOf token =
            match model.Vocabulary.Ids.TryGetValue token with
            | true, id -> Some id
            | _ -> added |> List.tryFind (fun a -> a.Content = token) |> Option.map (fun a -> a.Id)

        for id in frame.Prefix @ frame.Suffix do
            if
                not (
                    model.Vocabulary.Tokens.ContainsKey id
                    || added |> List.exists (fun a -> a.Id = id)
                )
            then
                FileNode.fail root $"the post_processor adds the id {id}, which no token has"

        let normalised, raw = added |> List.partition (fun token -> token.Normalized)

        TextTokenizer
            { CutRaw = raw |> List.map (fun token -> token.Content, token) |> AddedTokens.cutter
              Normalise = normalise
              CutNormalised =
                normalised
                |> List.map (fun token -> normalise token.Content, token)
                |> AddedTokens.cutter
              PreTokenise = preTokenizer.Cut
              Model = model
              Frame = frame
              Added = added
              Decoder = decoder
              Bos = readNamed idOf config "bos_token"
              Eos = readNamed idOf config "eos_token"
              Pad = readNamed idOf config "pad_token" }

    let private fileOf (path: string) =
        if Directory.Exists path then
            Path.Combine(path, "tokenizer.json")
        else
            path

    /// <summary>Whether a folder holds a <c>tokenizer.json</c>, or the path is a file.</summary>
    let exists (path: string) : bool = File.Exists(fileOf path)

    /// <summary>
    /// The tokenizer of a model folder, or of a <c>tokenizer.json</c>; the <c>tokenizer_config.json</c> beside it is read
    /// too, if there is one.
    /// </summary>
    /// <exception cref="T:System.IO.FileNotFoundException">There is no <c>tokenizer.json</c>.</exception>
    /// <exception cref="T:System.IO.InvalidDataException">
    /// A file is damaged or of a kind that is not supported; the message names the file and the path in it.
    /// </exception>
    let load (path: string) : TextTokenizer =
        let file = fileOf path

        if not (File.Exists file) then
            raise (
                FileNotFoundException(
                    $"there is no tokenizer at '{file}': expected a folder with a tokenizer.json (transformers writes it by tokenizer.save_pretrained), or that file",
                    file
                )
            )

        let folder =
            Path.GetDirectoryName(Path.GetFullPath file)
            |> Option.ofObj
            |> Option.defaultValue "."

        let config = Path.Combine(folder, "tokenizer_config.json")

        FileNode.readFile file (fun root ->
            if File.Exists config then
                FileNode.readFile config (Some >> read root)
            else
                read root None)
