module Reft.Core.Tests.Files.GoldenEncodersTests

open System.IO
open Expecto
open Reft.Core
open Reft.Core.Tests
open TorchSharp

/// The issue asks for 1e-4; a looser bound than what is measured could hide a mistake.
let private tolerance = 1e-5

let private folder name =
    Golden.path [ "a_models"; name; "model" ]

let private golden name =
    Golden.tensors [ "a_models"; name; "golden.safetensors" ]

/// Only tokens count: what a padding row holds is nobody's business. [batch, seq, …] → [tokens, …]
let private tokensOnly (mask: Tensor) (values: Tensor) =
    let rows = mask.reshape(-1L).nonzero().reshape(-1L)
    values.reshape(-1L, values.shape[values.shape.Length - 1]).index_select(0L, rows)

/// transformers numbers BERT's columns, padding too; RoBERTa's tokens are numbered as ours are.
let private contextOf (name: string) (ids: Tensor) (mask: Tensor) (model: Transformer) =
    let context =
        model |> Transformer.context None 0 (int ids.shape[1]) (Golden.spans mask)

    if name.StartsWith "bert" then
        { context with
            PositionIds = torch.arange(ids.shape[1], dtype = torch.int64).expand_as ids }
    else
        context

let private trace (context: Context) (ids: Tensor) (model: Transformer) =
    model.Blocks
    |> Array.scan (fun h (block: Block) -> block Transformer.identityTap context h) (model.Embed context ids)

let private withKernel kernel (context: Context) = { context with Attention = kernel }

let private classifierOf (loaded: LoadedModel) =
    match Checkpoint.classifier HeadTraining.Classifier loaded with
    | Some classifier -> classifier
    | None -> failtest "the checkpoint has no classification head"

let private loadedWith name config body =
    Golden.inTemporaryFolder (fun copy ->
        File.Copy(Path.Combine(folder name, "model.safetensors"), Path.Combine(copy, "model.safetensors"))
        File.Copy(Path.Combine(folder name, config), Path.Combine(copy, "config.json"))
        use loaded = Checkpoint.load copy
        body loaded)

let private hiddenMatches name side (loaded: LoadedModel) (context: Context) =
    let golden = golden name
    let ids, mask = golden[$"{side}.input_ids"], golden[$"{side}.attention_mask"]
    let residuals = trace context ids loaded.Model
    let mutable compared = 0

    let compare what (actual: Tensor) =
        match golden.TryFind $"{side}.{what}" with
        | None -> ()
        | Some expected ->
            compared <- compared + 1
            Golden.expectClose tolerance (tokensOnly mask expected) (tokensOnly mask actual) $"{side}.{what}"

    residuals |> Array.iteri (fun i h -> compare $"hidden.{i}" h)
    compare "last_block_output" (Array.last residuals)
    Expect.isGreaterThanOrEqual compared 1 "compared tensors"

let private masked name config kernel side =
    loadedWith name config (fun loaded ->
        let golden = golden name
        let ids, mask = golden[$"{side}.input_ids"], golden[$"{side}.attention_mask"]

        let context = contextOf name ids mask loaded.Model |> withKernel kernel

        hiddenMatches name side loaded context
        let logits = loaded.Model |> Transformer.logits context ids

        Golden.expectClose
            tolerance
            (tokensOnly mask golden[$"{side}.logits"])
            (tokensOnly mask logits)
            $"{side}.logits"

        let loss =
            torch.nn.functional.cross_entropy (
                logits.reshape (-1L, logits.shape[2]),
                golden[$"{side}.labels"].reshape -1L,
                ignore_index = -100L
            )

        Golden.expectClose tolerance golden[$"{side}.loss"] (loss.reshape 1L) $"{side}.loss")

/// The rows that begin with a token: RoBERTa's and BERT's classes read column 0 even where it is padding.
let private beginning (mask: Tensor) =
    mask.select(1L, 0L).nonzero().reshape -1L

let private classified name config kernel side =
    loadedWith name config (fun loaded ->
        let golden = golden name
        let ids, mask = golden[$"{side}.input_ids"], golden[$"{side}.attention_mask"]

        let context = contextOf name ids mask loaded.Model |> withKernel kernel

        hiddenMatches name side loaded context
        let classifier = classifierOf loaded

        let logits =
            loaded.Model |> Classifier.run classifier.Head classifier.Parameters context ids

        let rows = beginning mask

        Golden.expectClose
            tolerance
            (golden[$"{side}.logits"].index_select(0L, rows))
            (logits.index_select (0L, rows))
            $"{side}.logits")

/// The rows of the right-padded batch, with their labels.
let private rows name =
    let golden = golden name
    let host (t: Tensor) = t.data<int64>().ToArray()
    let ids, mask = golden["right.input_ids"], golden["right.attention_mask"]
    let columns = int ids.shape[1]
    let labels = host golden["right.labels"]

    Array.zip (host ids |> Array.chunkBySize columns) (host mask |> Array.chunkBySize columns)
    |> Array.mapi (fun row (ids, mask) ->
        Array.truncate (int (Array.sum mask)) ids
        |> Array.map int
        |> Example.ofRow [||] (Some(RowTarget.Label(int labels[row]))))

let private host (rows: float32[][]) =
    torch.tensor(Array.concat rows).view(int64 rows.Length, -1L)

/// Each row by itself, and all of them padded on either side, give transformers' numbers of the rows by themselves.
let private alone name () =
    loadedWith name "config.json" (fun loaded ->
        let golden = golden name
        let classifier = classifierOf loaded
        let rows = rows name

        let expected =
            torch.stack (ResizeArray [ for row in 0 .. rows.Length - 1 -> golden[$"single.{row}.logits"] ], 0L)

        let logits padding examples =
            Batch.create padding (List.ofArray examples)
            |> Classify.logits [] classifier loaded.Model

        let each = rows |> Array.collect (Array.singleton >> logits PaddingSide.Right)

        Golden.expectClose tolerance expected (host each) "one by one"
        Golden.expectClose tolerance expected (host (logits PaddingSide.Right rows)) "right padded"
        Golden.expectClose tolerance expected (host (logits PaddingSide.Left rows)) "left padded")

/// Loss and gradients of every weight, the head's among them.
let private gradients name () =
    loadedWith name "config.json" (fun loaded ->
        let golden = golden name
        let expected = Golden.tensors [ "a_models"; name; "grads_right.safetensors" ]

        let weights =
            loaded.Tensors
            |> Seq.map (fun entry -> entry.Key, entry.Value.detach().clone().requires_grad_ true)
            |> dict

        let model =
            (Families.ofConfig loaded.Config).Build loaded.Config (Weights.ofTensors (fun weight -> weights[weight]))

        let classifier = classifierOf loaded

        let theta =
            loaded.Tensors.Keys
            |> Seq.map (fun name -> $"head.{name}", weights[name])
            |> Parameters.ofSeq

        let batch = rows name |> List.ofArray |> Batch.create PaddingSide.Right
        let loss = Loss.classifier [] classifier model batch theta
        Golden.expectClose tolerance golden["right.loss"] (loss.reshape 1L) "loss"
        loss.backward ()
        Expect.equal expected.Count weights.Count "number of gradients"

        let total =
            weights.Values
            |> Seq.map (fun weight ->
                match weight.grad with
                | null -> 0.0
                | grad -> float (grad.square().sum().item<float32>()))
            |> Seq.sum
            |> sqrt

        Expect.floatClose
            { absolute = 0.0; relative = tolerance }
            total
            (float (golden["right.grad_norm"].item<float32>()))
            "gradient norm"

        for KeyValue(weight, gradient) in expected do
            match weights[weight].grad with
            | null -> failtestf "%s has no gradient" weight
            // A softmax does not change when all keys move alike: this gradient is 0, and both sides hold rounding errors.
            | actual when weight.EndsWith ".key.bias" ->
                Expect.isLessThan (float (actual.abs().max().item<float32>())) (1e-6 * total) weight
            | actual -> Golden.expectClose tolerance gradient actual weight)

/// Both styles say the same, and so does what is written of it.
let private rewritten name () =
    Golden.inTemporaryFolder (fun target ->
        let read file =
            ConfigFile.read (Path.Combine(folder name, file))

        let config = read "config.json"
        Expect.equal (read "config.v4.json") config "keys of transformers 4"
        let path = Path.Combine(target, "config.json")

        do
            use stream = File.Create path
            ConfigFile.writer "float32" config stream

        Expect.equal (ConfigFile.read path) config "written and read")

[<Tests>]
let tests =
    testList
        "Golden encoders"
        [ for name in [ "bert_mlm"; "roberta_mlm" ] do
              for config in [ "config.json"; "config.v4.json" ] do
                  for side in [ "right"; "left" ] do
                      test $"{name}, {config}, {side} padded" { masked name config AttentionKernel.Fused side }

              test $"{name}, attention written out" {
                  masked name "config.json" AttentionKernel.Plain "right"
                  masked name "config.json" AttentionKernel.Plain "left"
              }

          for name in [ "bert_seqcls"; "roberta_seqcls" ] do
              for config in [ "config.json"; "config.v4.json" ] do
                  for side in [ "right"; "left" ] do
                      test $"{name}, {config}, {side} padded" { classified name config AttentionKernel.Fused side }

              test $"{name}, attention written out" {
                  classified name "config.json" AttentionKernel.Plain "right"
                  classified name "config.json" AttentionKernel.Plain "left"
              }

              testCase $"{name}, each row alone and padded" (alone name)
              testCase $"{name}, gradients of every weight" (gradients name)

          for name in [ "bert_mlm"; "roberta_mlm"; "bert_seqcls"; "roberta_seqcls" ] do
              testCase $"{name}, its configuration written and read" (rewritten name) ]
