module Reft.Core.Tests.Files.HeadTests

open System.IO
open System.Text.Json.Nodes
open Expecto
open Reft.Core
open Reft.Core.Tests
open TorchSharp

let private minimal =
    """{"model_type":"llama","hidden_size":64,"num_hidden_layers":2,"num_attention_heads":4,"intermediate_size":96,"vocab_size":100}"""

let private inFile (json: string) (body: string -> unit) =
    Golden.inTemporaryFolder (fun folder ->
        let path = Path.Combine(folder, "config.json")
        File.WriteAllText(path, json)
        body path)

let private withKeys (keys: (string * string) list) =
    match JsonNode.Parse minimal with
    | :? JsonObject as node ->
        for key, value in keys do
            node[key] <- JsonNode.Parse value

        node.ToJsonString()
    | _ -> failtest "not an object"

let private reads keys expected =
    inFile (withKeys keys) (fun path ->
        let config = ConfigFile.read path
        Expect.equal config.Head expected "head"
        // What is written says the same.
        let copy = path + ".copy"

        do
            use stream = File.Create copy
            ConfigFile.writer "float32" config stream

        Expect.equal (ConfigFile.read copy).Head expected "written and read")

let private refuses keys fragments =
    inFile (withKeys keys) (fun path ->
        Golden.throwsWith<InvalidDataException> ("config.json" :: fragments) (fun () -> ConfigFile.read path |> ignore))

let private architecture name = "architectures", $"[\"{name}\"]"

let private classifier = architecture "LlamaForSequenceClassification"

let private task problem labels =
    CheckpointHead.Sequence { Problem = problem; Labels = labels }

/// A checkpoint whose tensors have other names or company gives the same logits.
let private renamed name (rename: string -> string) (more: (string * int64 list) list) () =
    Golden.inTemporaryFolder (fun folder ->
        use loaded = Checkpoint.load (Golden.path [ "a_models"; name; "model" ])
        File.Copy(Golden.path [ "a_models"; name; "model"; "config.json" ], Path.Combine(folder, "config.json"))

        let tensors =
            [ for entry in loaded.Tensors -> rename entry.Key, entry.Value
              for name, shape in more -> name, torch.ones (List.toArray shape) ]

        do
            use stream = File.Create(Path.Combine(folder, "model.safetensors"))
            Safetensors.writer (Map [ "format", "pt" ]) tensors stream

        use again = Checkpoint.load folder
        let ids = torch.tensor([| 5L; 9L; 11L; 3L |]).view(1L, 4L)

        let logits (loaded: LoadedModel) =
            let context =
                loaded.Model |> Transformer.context None 0 4 [| RowSpan.contiguous 0 0 4 4 |]

            loaded.Model |> Transformer.logits context ids

        Expect.isTrue (Golden.same (logits loaded) (logits again)) "logits")

let private oldNames (name: string) =
    name.Replace("LayerNorm.weight", "LayerNorm.gamma").Replace("LayerNorm.bias", "LayerNorm.beta")

let private bare (prefix: string) (name: string) =
    if name.StartsWith(prefix + ".") then
        name.Substring(prefix.Length + 1)
    else
        name

/// A decoder's classifier is saved, loaded and used, and it generates and scores nothing.
let private decoder () =
    Golden.inTemporaryFolder (fun folder ->
        let config =
            { TinyModel.config with
                Head = task SequenceProblem.SingleLabel [ "no"; "yes"; "perhaps" ] }

        let all = TinyModel.weights config 3L
        let tensors = [ for p in all.Entries -> p.Name, p.Value ]
        Expect.isFalse (tensors |> List.exists (fst >> (=) "lm_head.weight")) "no language-model head"
        Checkpoint.save folder config tensors
        use loaded = Checkpoint.load folder
        Expect.equal loaded.Config.Head config.Head "head"
        let head = (Checkpoint.classifier HeadTraining.Frozen loaded).Value
        Expect.isTrue (Golden.same all["score.weight"] head.Parameters["head.score.weight"]) "its weights"

        let batch =
            [ Example.ofRow [||] None [| 4; 5; 6 |] ] |> Batch.create PaddingSide.Right

        Expect.equal (Classify.logits [] head loaded.Model batch).[0].Length 3 "logits"

        Golden.throwsWith<System.InvalidOperationException> [ "llama"; "no language-model head" ] (fun () ->
            Score.logprobs [] loaded.Model batch |> ignore))

let private bareModel () =
    Golden.inTemporaryFolder (fun folder ->
        let config =
            { TinyModel.config with
                Head = CheckpointHead.Bare }

        Checkpoint.save folder config [ for p in (TinyModel.weights config 3L).Entries -> p.Name, p.Value ]
        use loaded = Checkpoint.load folder
        Expect.equal loaded.Config.Head CheckpointHead.Bare "head"
        Expect.isNone loaded.Model.LanguageHead "no language-model head"

        let head =
            Checkpoint.freshClassifier HeadTraining.Classifier SequenceTask.regression (Rng.ofSeed 0L) loaded

        Expect.equal head.Parameters.Names [ "head.score.weight" ] "a fresh head")

/// BERT's pooler comes with a language model's checkpoint as often as not: a head takes it over.
let private pooler () =
    Golden.inTemporaryFolder (fun folder ->
        use masked = Checkpoint.load (Golden.path [ "a_models"; "bert_mlm"; "model" ])
        File.Copy(Golden.path [ "a_models"; "bert_mlm"; "model"; "config.json" ], Path.Combine(folder, "config.json"))

        let write more =
            use stream = File.Create(Path.Combine(folder, "model.safetensors"))

            Safetensors.writer
                (Map [ "format", "pt" ])
                [ for entry in masked.Tensors -> entry.Key, entry.Value
                  yield! more ]
                stream

        let weight = torch.full ([| 32L; 32L |], (0.5f).ToScalar())
        write [ "bert.pooler.dense.weight", weight; "bert.pooler.dense.bias", torch.ones 32L ]

        do
            use loaded = Checkpoint.load folder

            let head =
                Checkpoint.freshClassifier HeadTraining.Classifier SequenceTask.regression (Rng.ofSeed 0L) loaded

            Expect.isTrue (Golden.same weight head.Parameters["head.bert.pooler.dense.weight"]) "the pooler"
            Expect.equal head.Parameters.TrainableCount 33L "it is the base model's"

        write [ "bert.pooler.dense.weight", weight ]

        Golden.throwsWith<InvalidDataException> [ "missing"; "bert.pooler.dense.bias" ] (fun () ->
            use _ = Checkpoint.load folder
            ()))

[<Tests>]
let tests =
    testList
        "Heads of checkpoints"
        [ test "which head there is" {
              reads [] CheckpointHead.Language
              reads [ architecture "LlamaForCausalLM" ] CheckpointHead.Language
              reads [ architecture "LlamaModel" ] CheckpointHead.Bare
              reads [ classifier ] (task SequenceProblem.SingleLabel [ "LABEL_0"; "LABEL_1" ])
          }

          test "its labels and its problem" {
              reads
                  [ classifier; "num_labels", "3" ]
                  (task SequenceProblem.SingleLabel [ "LABEL_0"; "LABEL_1"; "LABEL_2" ])

              reads
                  [ classifier; "id2label", """{"1":"yes","0":"no"}""" ]
                  (task SequenceProblem.SingleLabel [ "no"; "yes" ])

              reads [ classifier; "id2label", """{"0":"grade"}""" ] (task SequenceProblem.Regression [ "grade" ])

              reads
                  [ classifier
                    "problem_type", "\"multi_label_classification\""
                    "id2label", """{"0":"only"}""" ]
                  (task SequenceProblem.MultiLabel [ "only" ])

              reads
                  [ classifier; "problem_type", "\"regression\""; "num_labels", "2" ]
                  (task SequenceProblem.Regression [ "LABEL_0"; "LABEL_1" ])
          }

          test "what is refused" {
              refuses [ architecture "LlamaForTokenClassification" ] [ "architectures"; "LlamaForTokenClassification" ]
              refuses [ classifier; "id2label", """{"0":"no","2":"yes"}""" ] [ "id2label"; "0 … 1" ]
              refuses [ classifier; "id2label", """{"0":"no","1":"no"}""" ] [ "id2label"; "'no' twice" ]
              refuses [ classifier; "id2label", "{}" ] [ "id2label" ]
              refuses [ classifier; "problem_type", "\"guessing\"" ] [ "problem_type"; "guessing" ]
              refuses [ classifier; "num_labels", "0" ] [ "num_labels" ]

              refuses
                  [ classifier; "num_labels", "3"; "id2label", """{"0":"no","1":"yes"}""" ]
                  [ "num_labels"; "id2label" ]

              refuses
                  [ classifier
                    "problem_type", "\"single_label_classification\""
                    "num_labels", "1" ]
                  [ "num_labels"; "two or more" ]
          }

          testCase "a decoder's classifier" decoder
          testCase "a bare decoder" bareModel
          testCase "BERT's pooler" pooler
          testCase "BERT under TensorFlow's names" (renamed "bert_mlm" oldNames [])
          testCase "BERT without its prefix" (renamed "bert_mlm" (bare "bert") [])

          testCase
              "BERT with what old files carry"
              (renamed
                  "bert_mlm"
                  id
                  [ "bert.embeddings.position_ids", [ 1L; 64L ]
                    "cls.predictions.decoder.weight", [ 256L; 32L ]
                    "cls.predictions.decoder.bias", [ 256L ]
                    "cls.seq_relationship.weight", [ 2L; 32L ]
                    "cls.seq_relationship.bias", [ 2L ] ])

          testCase "RoBERTa under TensorFlow's names" (renamed "roberta_mlm" oldNames [])

          testCase
              "RoBERTa with what old files carry"
              (renamed
                  "roberta_mlm"
                  id
                  [ "roberta.embeddings.position_ids", [ 1L; 66L ]
                    "roberta.pooler.dense.weight", [ 32L; 32L ]
                    "roberta.pooler.dense.bias", [ 32L ]
                    "lm_head.decoder.weight", [ 256L; 32L ]
                    "lm_head.decoder.bias", [ 256L ] ]) ]
