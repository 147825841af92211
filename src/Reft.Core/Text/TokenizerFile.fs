namespace Reft.Core

open System
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

    let private read (root: FileNode) : TokenizerDraft =
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

        { Model = model
          Normalise = normalise
          Cut = preTokenizer.Cut
          Decoder = decoder
          Frame = frame
          Added =
            root
            |> FileNode.tryGet "added_tokens"
            |> Option.map FileNode.items
            |> Option.defaultValue Seq.empty
            |> Seq.map (fun node -> Some node, AddedTokens.read node)
            |> Seq.toList
          Named = None, None, None
          Fail = FileNode.error root }

    /// A tokenizer_config.json says which of the classes of transformers reads a model: those that change its ids, or its
    /// text, in ways of their own are not known here.
    let private known = [ "LlamaTokenizer"; "GemmaTokenizer"; "PreTrainedTokenizer" ]

    let private isKnown (config: FileNode) =
        match config |> FileNode.tryGet "tokenizer_class" with
        | None -> ()
        | Some node ->
            let name = FileNode.string node

            let slow =
                if name.EndsWith "Fast" then
                    name.Substring(0, name.Length - 4)
                else
                    name

            if not (List.contains slow known) then
                let names = String.concat ", " known

                FileNode.fail
                    node
                    $"a tokenizer.model of the class '{name}' is not supported ({names} are): save the tokenizer as tokenizer.json (transformers' AutoTokenizer.from_pretrained(…).save_pretrained)"

    /// The draft of a tokenizer.model, with BOS and EOS as transformers' conversion adds them.
    let private readSentencePiece (path: string) (config: FileNode option) : TokenizerDraft =
        let model = SentencePieceModel.read path
        config |> Option.iter isKnown

        let flag name ifAbsent =
            config
            |> Option.map (FileNode.flag name ifAbsent)
            |> Option.defaultValue ifAbsent

        let tokens, around = model |> SentencePieceTokenizer.parts (flag "legacy" true)

        let exists id =
            if id >= 0 && id < model.Pieces.Length then
                Some id
            else
                None

        let framing name ifAbsent id =
            match flag name ifAbsent, exists id with
            | false, _ -> []
            | true, Some id -> [ id ]
            | true, None when ifAbsent && config |> Option.bind (FileNode.tryGet name) |> Option.isNone -> []
            | true, None ->
                SentencePieceModel.fail path $"tokenizer_config.json wants {name}, and the model has no such piece"

        { Model = tokens
          Normalise = around.Normalise
          Cut = around.Cut
          Decoder = around.Decoder
          Frame =
            PostProcessor.each (framing "add_bos_token" model.IsBpe model.Bos) (framing "add_eos_token" false model.Eos)
          Added = SentencePieceTokenizer.added model |> List.map (fun token -> None, token)
          Named = exists model.Bos, exists model.Eos, exists model.Pad
          Fail = fun problem -> InvalidDataException $"{path}: {problem}" }

    /// The names of a tokenizer's own file, in the order in which a folder is searched for them.
    let private names = [ "tokenizer.json"; "tokenizer.model" ]

    /// GPT-2's older pair of files.
    let private hasPair (folder: string) =
        [ "vocab.json"; "merges.txt" ]
        |> List.forall (fun name -> File.Exists(Path.Combine(folder, name)))

    let private fileOf (path: string) : string option =
        if Directory.Exists path then
            names
            |> List.map (fun name -> Path.Combine(path, name))
            |> List.tryFind File.Exists
            |> Option.orElse (
                if hasPair path then
                    Some(Path.Combine(path, "vocab.json"))
                else
                    None
            )
        else
            Some path |> Option.filter File.Exists

    /// <summary>Whether a folder holds a tokenizer's files, or the path is a file.</summary>
    let exists (path: string) : bool = fileOf path |> Option.isSome

    /// <summary>
    /// The tokenizer of a model folder, or of a <c>tokenizer.json</c> or a <c>tokenizer.model</c>; of both in a folder, the
    /// first. A folder with neither may have the <c>vocab.json</c> and <c>merges.txt</c> of GPT-2 or RoBERTa. The <c>tokenizer_config.json</c> beside it is read too, if there is one.
    /// </summary>
    /// <exception cref="T:System.IO.FileNotFoundException">There is neither.</exception>
    /// <exception cref="T:System.IO.InvalidDataException">
    /// A file is damaged or of a kind that is not supported; the message names the file and the path in it.
    /// </exception>
    let load (path: string) : TextTokenizer =
        let file =
            match fileOf path with
            | Some file -> file
            | None ->
                raise (
                    FileNotFoundException(
                        $"there is no tokenizer at '{path}': expected a folder with a tokenizer.json (transformers writes it by tokenizer.save_pretrained) or a tokenizer.model (SentencePiece's), or with the vocab.json and merges.txt of GPT-2 or RoBERTa; or one of these files",
                        path
                    )
                )

        let folder =
            Path.GetDirectoryName(Path.GetFullPath file)
            |> Option.ofObj
            |> Option.defaultValue "."

        let withConfig (interpret: FileNode option -> 'a) : 'a =
            let config = Path.Combine(folder, "tokenizer_config.json")

            if File.Exists config then
                FileNode.readFile config (Some >> interpret)
            else
                interpret None

        if file.EndsWith(".model", StringComparison.OrdinalIgnoreCase) then
            withConfig (fun config -> readSentencePiece file config |> TokenizerDraft.finish config)
        elif Path.GetFileName file = "vocab.json" && hasPair folder then
            withConfig (fun config -> VocabularyAndMerges.read folder config |> TokenizerDraft.finish config)
        else
            FileNode.readFile file (fun root -> withConfig (fun config -> read root |> TokenizerDraft.finish config))
