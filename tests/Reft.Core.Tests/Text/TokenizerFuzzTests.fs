/// Damaged and hostile tokenizer files: each is read, or refused with an InvalidDataException; none takes for ever, or more
/// memory than its size accounts for.
module Reft.Core.Tests.Text.TokenizerFuzzTests

open System
open System.IO
open System.Text.Json.Nodes
open System.Threading.Tasks
open Expecto
open FsCheck
open FsCheck.FSharp
open Reft.Core
open Reft.Core.Tests.Text.TokenizerFixtures

let private texts =
    [ "Hello world, it's 3.14!"
      " é e\u0301 ﬁ 日本語 👩‍👩‍👧 \u0000\n\n\t"
      "<s>a</s> <|begin|>[MASK] x<unk>" ]

let private patience = TimeSpan.FromSeconds 60.0
let private mostBytes = 1_500_000_000L

/// Reads a file and, if it is accepted, uses it.
let private outcome (name: string) (bytes: byte[]) : Result<unit, string> =
    inFolder (fun folder ->
        let file = Path.Combine(folder, name)
        File.WriteAllBytes(file, bytes)

        let run () =
            let before = GC.GetAllocatedBytesForCurrentThread()

            let result =
                try
                    let tokenizer = TokenizerFile.load file

                    for text in texts do
                        let ids = tokenizer.Encode(text, true)
                        tokenizer.Decode(ids, false) |> ignore

                    tokenizer.Decode([ -1 .. 300 ], true) |> ignore
                    Ok()
                with
                | :? InvalidDataException -> Ok()
                | e -> Error $"{e}"

            let taken = GC.GetAllocatedBytesForCurrentThread() - before

            if taken > mostBytes then
                Error $"it took {taken} bytes of memory"
            else
                result

        let task = Task.Factory.StartNew(run, TaskCreationOptions.LongRunning)

        if task.Wait patience then
            task.Result
        else
            Error $"it has not ended after {patience}")

let private check (name: string) (describe: string) (bytes: byte[]) =
    match outcome name bytes with
    | Ok() -> ()
    | Error problem ->
        let kept = Path.Combine(Path.GetTempPath(), $"reft-fuzz-{Guid.NewGuid():N}-{name}")
        File.WriteAllBytes(kept, bytes)
        failtest $"{describe}: the file is {kept}: {problem}"

let private owns =
    [ "own_bytelevel_nfc"
      "own_llama3_style"
      "own_roberta"
      "own_metaspace_bytefallback"
      "own_wordpiece"
      "own_unigram" ]

let private jsonFiles =
    lazy
        (owns
         |> List.map (fun name -> File.ReadAllBytes(Path.Combine(golden, "f_tokenizers", name, "tokenizer.json")))
         |> List.toArray)

/// SentencePiece models of some of these vocabularies.
let private models =
    lazy
        [| for kind in [ 1; 2 ] do
               let file = jsonFiles.Value[if kind = 1 then 5 else 3]
               let root = JsonNode.Parse(ReadOnlySpan file) |> Option.ofObj |> Option.get

               let vocabulary =
                   root["model"]
                   |> Option.ofObj
                   |> Option.get
                   |> (fun m -> m["vocab"])
                   |> Option.ofObj
                   |> Option.get

               let tokens =
                   match vocabulary with
                   | :? JsonObject as o -> [ for entry in o -> entry.Key ]
                   | list ->
                       [ for entry in list.AsArray() ->
                             (entry |> Option.ofObj |> Option.get).AsArray()[0]
                             |> Option.ofObj
                             |> Option.get
                             |> fun token -> token.GetValue<string>() ]

               tokens
               |> Seq.mapi (fun i token ->
                   token,
                   float32 -i,
                   (if token = "<unk>" then 2
                    elif i < 3 then 3
                    else 1))
               |> SentencePieceFixtures.model
                   [ SentencePieceFixtures.number 3 kind; SentencePieceFixtures.number 35 1 ]
                   [ SentencePieceFixtures.charsmap [ "ﬁ", "fi"; "é", "e" ]
                     |> SentencePieceFixtures.bytes 2 ] |]

/// The bytes with a few of them changed, put in, taken out, repeated or cut off.
let private damaged (random: Random) (bytes: byte[]) : byte[] =
    let result = ResizeArray bytes

    for _ in 0 .. random.Next 4 do
        if result.Count > 0 then
            let at = random.Next result.Count

            match random.Next 6 with
            | 0 -> result[at] <- byte (random.Next 256)
            | 1 -> result[at] <- result[at] ^^^ (1uy <<< random.Next 8)
            | 2 -> result.Insert(at, byte (random.Next 256))
            | 3 -> result.RemoveRange(at, min (1 + random.Next 64) (result.Count - at))
            | 4 -> result.InsertRange(at, result.GetRange(at, min (1 + random.Next 64) (result.Count - at)))
            | _ ->
                if random.Next 4 = 0 then
                    result.RemoveRange(at, result.Count - at)

    result.ToArray()

let private words =
    [| "BPE"
       "Unigram"
       "WordPiece"
       "WordLevel"
       "Sequence"
       "Split"
       "ByteLevel"
       "Metaspace"
       "Digits"
       "Punctuation"
       "Whitespace"
       "WhitespaceSplit"
       "BertPreTokenizer"
       "FixedLength"
       "CharDelimiterSplit"
       "NFC"
       "NFKD"
       "Lowercase"
       "StripAccents"
       "BertNormalizer"
       "Replace"
       "Prepend"
       "Strip"
       "Nmt"
       "Precompiled"
       "ByteFallback"
       "Fuse"
       "BPEDecoder"
       "TemplateProcessing"
       "BertProcessing"
       "RobertaProcessing"
       ""
       " "
       "a"
       "▁"
       "👍"
       "\u0000"
       "(a|a)*b"
       "(?=a)*"
       "((((a{99}){99}){99}){99})"
       "[^\\s]+"
       "\\p{L}"
       "AAAAAAAA"
       "first"
       "never"
       "Contiguous"
       "MergedWithNext"
       "<unk>"
       "</w>"
       "##" |]

let private options =
    [| "type"
       "pattern"
       "content"
       "prepend"
       "replacement"
       "behavior"
       "invert"
       "delimiter"
       "length"
       "suffix"
       "prefix"
       "cleanup"
       "start"
       "stop"
       "vocab"
       "merges"
       "unk_token"
       "unk_id"
       "byte_fallback"
       "fuse_unk"
       "ignore_merges"
       "continuing_subword_prefix"
       "end_of_word_suffix"
       "max_input_chars_per_word"
       "precompiled_charsmap"
       "split"
       "prepend_scheme"
       "add_prefix_space"
       "use_regex"
       "normalizers"
       "pretokenizers"
       "decoders"
       "String"
       "Regex" |]

let private numbers = [| -1.0; 0.0; 1.0; 0.5; 7.0; 2147483647.0; 1e300; -1e300 |]

let rec private anything (random: Random) (depth: int) : JsonNode | null =
    match random.Next(if depth > 2 then 6 else 9) with
    | 0 -> null
    | 1 -> JsonValue.Create(random.Next 2 = 0)
    | 2 -> JsonValue.Create numbers[random.Next numbers.Length]
    | 3 -> JsonValue.Create(random.Next(0, 2000))
    | 4
    | 5 -> JsonValue.Create words[random.Next words.Length]
    | 6 -> array [ for _ in 0 .. random.Next 3 -> anything random (depth + 1) ]
    | _ ->
        let result = JsonObject()

        for _ in 0 .. random.Next 4 do
            result[options[random.Next options.Length]] <- anything random (depth + 1)

        result

/// All places of a file that hold a value, those within the vocabulary and the merges left aside but for a few.
let private places (random: Random) (root: JsonNode) : (JsonNode * string * int)[] =
    let found = ResizeArray<JsonNode * string * int>()

    let rec visit (node: JsonNode | null) =
        match node with
        | :? JsonObject as o ->
            for entry in o do
                if o.Count < 200 || random.Next 200 = 0 then
                    found.Add(o, entry.Key, -1)
                    visit entry.Value
        | :? JsonArray as a ->
            for i in 0 .. a.Count - 1 do
                if a.Count < 200 || random.Next 200 = 0 then
                    found.Add(a, "", i)
                    visit a[i]
        | _ -> ()

    visit root
    found.ToArray()

/// A file with a few of its values replaced by others: by anything, by its own, or by those of another file.
let private rearranged (random: Random) : byte[] =
    let parse () =
        JsonNode.Parse jsonFiles.Value[random.Next jsonFiles.Value.Length]
        |> Option.ofObj
        |> Option.get

    let root, other = parse (), parse ()
    let theirs = places random other

    for _ in 0 .. random.Next 3 do
        let ours = places random root
        let at, name, index = ours[random.Next ours.Length]

        let value =
            match random.Next 3 with
            | 0 ->
                let from, name, index = theirs[random.Next theirs.Length]

                match (if index < 0 then from[name] else from[index]) with
                | null -> null
                | value -> value.DeepClone()
            | _ -> anything random 0

        if index >= 0 then
            at.AsArray()[index] <- value
        elif random.Next 10 = 0 then
            at.AsObject().Remove name |> ignore
        else
            at.AsObject()[name] <- value

    System.Text.Encoding.UTF8.GetBytes(root.ToJsonString())

/// So many cases of each kind, from seeds that FsCheck chooses.
let private fuzz (cases: int) =
    let run name count (make: Random -> byte[]) =
        Check.One(
            Config.QuickThrowOnFailure.WithMaxTest count,
            Prop.forAll (Gen.choose (0, Int32.MaxValue - 1) |> Arb.fromGen) (fun seed ->
                check name $"seed {seed}" (make (Random seed)))
        )

    let pick (random: Random) (files: byte[][]) = files[random.Next files.Length]
    run "tokenizer.json" (cases / 2) rearranged
    run "tokenizer.json" (cases / 4) (fun random -> pick random jsonFiles.Value |> damaged random)
    run "tokenizer.model" (cases / 4) (fun random -> pick random models.Value |> damaged random)

[<Tests>]
let tests =
    testList
        "Tokenizer, fuzzing"
        [ test "200 damaged files" { fuzz 200 }
          test "25,000 damaged files" {
              longTest ()
              fuzz 25_000
          } ]
