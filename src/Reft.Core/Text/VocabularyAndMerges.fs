namespace Reft.Core

open System
open System.IO

/// <summary>
/// GPT-2's and RoBERTa's own files, <c>vocab.json</c> and <c>merges.txt</c>, as transformers reads folders that have no
/// <c>tokenizer.json</c> yet: byte-level BPE. What surrounds a text is not in them: the class of the tokenizer decides it.
/// </summary>
[<RequireQualifiedAccess>]
module internal VocabularyAndMerges =

    /// The class that a folder's tokenizer_config.json names, or that goes with the model of its config.json.
    let private kindOf (folder: string) (config: FileNode option) : string =
        let named =
            config
            |> Option.bind (FileNode.tryGet "tokenizer_class")
            |> Option.map FileNode.string

        let modelConfig = Path.Combine(folder, "config.json")

        match named with
        | Some name -> name
        | None when File.Exists modelConfig ->
            FileNode.readFile modelConfig (fun root ->
                root
                |> FileNode.tryGet "model_type"
                |> Option.map FileNode.string
                |> Option.defaultValue "")
        | None -> ""

    /// A line `left right`; the first line may be a comment with the format's version.
    let private readMerges (path: string) : BytePairModel.Merge[] =
        if FileInfo(path).Length > 64L * 1024L * 1024L then
            raise (InvalidDataException $"{path}: the file has more than 64 MB")

        [| let mutable number = 0

           for line in File.ReadLines path do
               number <- number + 1
               let at = number

               let error problem =
                   InvalidDataException $"{path}:{at}: {problem}" :> exn

               if line <> "" && not (line.StartsWith("#version", StringComparison.Ordinal)) then
                   match line.Split ' ' with
                   | [| left; right |] when left <> "" && right <> "" ->
                       { BytePairModel.Left = left
                         BytePairModel.Right = right
                         BytePairModel.Error = error }
                   | _ -> raise (error $"expected a merge 'left right', found '{line}'") |]

    let private special (vocabulary: Vocabulary) (names: (string * bool) list) : (FileNode option * AddedToken) list =
        [ for name, stripLeft in names do
              match vocabulary.Ids.TryGetValue name with
              | true, id ->
                  None,
                  { Id = id
                    Content = name
                    SingleWord = false
                    StripLeft = stripLeft
                    StripRight = false
                    Normalized = false
                    Special = true }
              | _ -> () ]

    /// The draft of a folder's vocab.json and merges.txt.
    let read (folder: string) (config: FileNode option) : TokenizerDraft =
        let vocabularyFile = Path.Combine(folder, "vocab.json")

        let error problem =
            InvalidDataException $"{vocabularyFile}: {problem}" :> exn

        let save =
            "save the tokenizer as tokenizer.json (transformers' AutoTokenizer.from_pretrained(…).save_pretrained)"

        if File.Exists(Path.Combine(folder, "added_tokens.json")) then
            raise (error $"the added_tokens.json beside it is not supported: {save}")

        let vocabulary = FileNode.readFile vocabularyFile TokenModel.readVocabulary

        let idOf token =
            match vocabulary.Ids.TryGetValue token with
            | true, id -> id
            | _ -> raise (error $"there is no token '{token}', which goes around each text")

        let frame, names =
            match kindOf folder config with
            | "GPT2Tokenizer"
            | "GPT2TokenizerFast"
            | "gpt2" -> PostProcessor.none, [ "<|endoftext|>", false ]
            | "RobertaTokenizer"
            | "RobertaTokenizerFast"
            | "roberta" ->
                PostProcessor.roberta (idOf "<s>") (idOf "</s>"),
                [ "<s>", false; "<pad>", false; "</s>", false; "<unk>", false; "<mask>", true ]
            | kind ->
                raise (
                    error
                        $"which tokens go around a text is known for GPT-2 and RoBERTa, found '{kind}' as the tokenizer_class of tokenizer_config.json or the model_type of config.json: {save}"
                )

        let prefixSpace =
            config
            |> Option.map (FileNode.flag "add_prefix_space" false)
            |> Option.defaultValue false

        { Model =
            readMerges (Path.Combine(folder, "merges.txt"))
            |> BytePairModel.ofMerges vocabulary
          Normalise = id
          Cut = (PreTokenizer.byteLevel prefixSpace true).Cut
          Decoder = TokenDecoder.byteLevel
          Frame = frame
          Added = special vocabulary names
          Named = None, None, None
          Fail = error }
