module Reft.Core.Tests.Files.PeftLoraTests

open System
open System.IO
open System.Text.Json.Nodes
open Expecto
open TorchSharp
open Reft.Core
open Reft.Core.Syntax
open Reft.Core.Tests
open Reft.Core.Tests.TinyModel

let private llama = Golden.path [ "a_models"; "llama"; "model" ]
let private trained = Golden.path [ "d_e2e"; "lora_peft"; "adapter" ]

let private loadLora merge folder model =
    Checkpoint.loadWith
        { Checkpoint.defaults () with
            Lora = Some { Folder = folder; Merge = merge } }
        model

let private rows case =
    JsonValue.read 10_000_000 (Golden.path [ "d_e2e"; case; "dataset.json" ])
    |> JsonValue.items
    |> List.map (fun row ->
        let ints key =
            row
            |> JsonValue.field key
            |> JsonValue.items
            |> List.map (JsonValue.int -100 100_000)
            |> List.toArray

        Example.ofLabels None (ints "input_ids") (ints "labels"))
    |> List.toArray

let private firstBatch case =
    rows case |> Array.truncate 4 |> Array.toList |> Batch.create PaddingSide.Right

let private logits (model: Transformer) (batch: Batch) =
    let context = model |> Transformer.context None 0 batch.Columns batch.Spans
    model |> Transformer.logits context (Batch.ids model.Device batch)

/// A folder as peft would save it, from the golden tensors of a moment of a run.
let private folderOf (folder: string) (golden: Map<string, Tensor>) (start: string) =
    let into = Path.Combine(folder, "lora")
    Directory.CreateDirectory into |> ignore

    [ for KeyValue(name, tensor) in golden do
          if name.StartsWith(start, StringComparison.Ordinal) then
              name.Substring(start.Length).Replace(".default", ""), tensor ]
    |> Safetensors.write (Path.Combine(into, "adapter_model.safetensors")) Map.empty

    File.Copy(Path.Combine(trained, "adapter_config.json"), Path.Combine(into, "adapter_config.json"))
    into

let private expectLogits (expected: Tensor) (golden: Map<string, Tensor>) (found: Tensor) what =
    let mask = golden["batch0.attention_mask"].unsqueeze(-1L).``to`` torch.float32
    Golden.expectClose 1e-4 (expected * mask) (found * mask) what

/// A peft folder for the small model, in a folder of its own.
let private written (folder: string) (config: JsonObject -> unit) (tensors: (string * Tensor) list) : string =
    match JsonNode.Parse(File.ReadAllText(Path.Combine(trained, "adapter_config.json"))) with
    | :? JsonObject as root ->
        config root
        File.WriteAllText(Path.Combine(folder, "adapter_config.json"), root.ToJsonString())
    | _ -> failtest "adapter_config.json is an object"

    Safetensors.write (Path.Combine(folder, "adapter_model.safetensors")) Map.empty tensors
    folder

let private set (key: string) (value: obj) (root: JsonObject) =
    root[key] <- System.Text.Json.JsonSerializer.SerializeToNode value

let private draw i shape =
    Rng.normal shape (Rng.fork i (Rng.ofSeed 5L)) * 0.1f

let private pair name rank inputs outputs =
    [ $"base_model.model.{name}.lora_A.weight", draw 1 [ rank; inputs ]
      $"base_model.model.{name}.lora_B.weight", draw 2 [ outputs; rank ] ]

let private query = "model.layers.0.self_attn.q_proj"

let private refuses (fragments: string list) (config': JsonObject -> unit) (tensors: (string * Tensor) list) =
    Golden.inTemporaryFolder (fun folder ->
        Golden.throwsWith<InvalidDataException> fragments (fun () ->
            PeftLora.load config (written folder config' tensors) |> ignore))

/// The interventions of the run with LoRA and LoReFT.
let private besideLora: ReftSpec =
    Loreft.create
        { Loreft.options 4 with
            Orthonormal = Orthonormal.householder }
    |> at
        (blockOutput [ 1; 3 ])
        (Positions.Pyreft
            { First = 2
              Last = 2
              Padding = PyreftPadding.NextToken })
    |> tied

/// A run of peft's, alone or with LoReFT, with everything that it trained: the low-rank matrices as parameters.
let private reproduces case =
    let golden = Golden.tensors [ "d_e2e"; case; "tensors.safetensors" ]
    use loaded = Checkpoint.load llama
    let alone = case = "lora_peft"

    let start =
        if alone then
            "base_model.model."
        else
            "model.base_model.model."

    let parametersAt moment =
        Parameters
            [ if not alone then
                  for layer in [ 1; 3 ] do
                      let key = $"comp_base_model_model_model_layers[{layer}]_output_unit_pos_nunit_1#0"

                      let own =
                          PyreftModules.parameters
                              (fun name -> golden.TryFind $"{moment}.{key}.{name}")
                              (golden.TryFind $"init.{key}.buffer.rotate_layer.parametrizations.weight.0.base")

                      yield! (own |> Parameters.prefixed $"layers.{layer}.block_output").Entries
              for KeyValue(name, tensor) in golden do
                  if name.StartsWith($"{moment}.{start}", StringComparison.Ordinal) then
                      let map = name.Substring($"{moment}.{start}".Length)

                      let ours =
                          if map.EndsWith("lora_A.default.weight", StringComparison.Ordinal) then
                              Lora.downOf (map.Replace(".lora_A.default.weight", ""))
                          else
                              Lora.upOf (map.Replace(".lora_B.default.weight", ""))

                      Parameters.entry Role.Undecayed ours tensor ]

    let spec = if alone then [] else besideLora

    let tuning =
        Lora.create
            { Lora.options 4 8.0 with
                Modules = [ "q_proj"; "v_proj" ] }

    let loss =
        tuning |> ModelTuning.tuned loaded |> ModelTuning.withReft spec |> Loss.language

    let trace name =
        JsonValue.read 1_000_000 (Golden.path [ "d_e2e"; case; "trace.json" ])
        |> JsonValue.field name
        |> JsonValue.items
        |> List.map JsonValue.float

    let losses, norms = trace "loss_exact", trace "grad_norm"

    let batches =
        Seq.initInfinite (fun _ -> Batch.epoch PaddingSide.Right 4 None (rows case))
        |> Seq.concat
        |> Seq.truncate losses.Length

    let options =
        { Trainer.options 5e-3 with
            Schedule = Schedule.linear 0 losses.Length
            ClipNorm = Some 1.0 }

    let initial = parametersAt "init_param"

    let gradient =
        dsharp.grad (fun v -> loss (Seq.head batches) (initial.OfVector v)) initial.Vector
        |> initial.OfVector

    for p in (parametersAt "grad_step0").Entries do
        if p.IsTrainable then
            Golden.expectClose 1e-4 p.Value gradient[p.Name] $"first gradient of {p.Name}"

    // pyvene's model.zero_grad clears the gradients of its interventions alone: those of the low-rank matrices pile up from
    // step to step, as clipping left them. So does the gradient of a product with what is piled up.
    let isMatrix =
        initial.Entries
        |> Seq.map (fun p ->
            { p with
                Value =
                    if p.Name.StartsWith("lora.", StringComparison.Ordinal) then
                        torch.ones_like p.Value
                    else
                        torch.zeros_like p.Value })
        |> Parameters
        |> _.Vector

    let mutable piled = torch.zeros_like isMatrix

    let piling: Loss =
        fun batch theta ->
            let before = piled

            let flat =
                theta.Entries
                |> Seq.filter (fun p -> p.IsTrainable)
                |> Seq.map (fun p -> p.Value.reshape -1L)

            let product = (torch.cat (ResizeArray flat, 0L) * before).sum()
            let own = dsharp.grad (fun v -> loss batch (theta.OfVector v)) theta.Vector
            let all = own + before
            let clipped = all * min 1.0f (1.0f / (all.norm().item<float32>() + 1e-6f))
            piled <- (clipped * isMatrix).detach().DetachFromDisposeScope()
            loss batch theta + (product - product.detach ())

    let mutable last = parametersAt "init_param" |> TrainState.create (Rng.ofSeed 0L)
    let found = ResizeArray<StepReport>()

    for report, next in Trainer.steps options (if alone then loss else piling) last batches do
        found.Add report
        last <- next

    for i, expected in List.indexed losses do
        Expect.floatClose { absolute = 0.0; relative = 1e-3 } found[i].Loss expected $"loss of step {i}"

    for i, expected in List.indexed norms do
        Expect.floatClose
            { absolute = 0.0; relative = 1e-4 }
            found[i].GradientNorm
            expected
            $"gradient norm of step {i}"

    for p in (parametersAt "final_param").Entries do
        Golden.expectClose 1e-3 p.Value last.Parameters[p.Name] p.Name

[<Tests>]
let tests =
    testList
        "LoRA adapters of peft"
        [ for merge in [ false; true ] do
              let how = if merge then "merged" else "on the fly"

              test $"the trained adapter gives peft's logits, {how}" {
                  scoped (fun () ->
                      let golden = Golden.tensors [ "d_e2e"; "lora_peft"; "tensors.safetensors" ]
                      use loaded = loadLora merge trained llama
                      let found = logits loaded.Model (firstBatch "lora_peft")
                      expectLogits golden["after.logits_batch0"] golden found "after training")
              }

              test $"before training it changes nothing, {how}" {
                  Golden.inTemporaryFolder (fun folder ->
                      let golden = Golden.tensors [ "d_e2e"; "lora_peft"; "tensors.safetensors" ]
                      use plain = Checkpoint.load llama
                      use loaded = loadLora merge (folderOf folder golden "init_param.") llama
                      let batch = firstBatch "lora_peft"
                      Golden.expectClose 1e-6 (logits plain.Model batch) (logits loaded.Model batch) "B is 0"

                      let loss = Trainer.evaluate (Loss.reft [] loaded.Model) Parameters.empty [ batch ]

                      let trace =
                          JsonValue.read 1_000_000 (Golden.path [ "d_e2e"; "lora_peft"; "trace.json" ])

                      let first =
                          trace
                          |> JsonValue.field "loss_exact"
                          |> JsonValue.items
                          |> List.head
                          |> JsonValue.float

                      Expect.floatClose { absolute = 0.0; relative = 1e-5 } loss first "the first loss of the run")
              }

          test "under ReFT, merged and on the fly agree, gradients too" {
              Golden.inTemporaryFolder (fun folder ->
                  let golden = Golden.tensors [ "d_e2e"; "lora_plus_loreft"; "tensors.safetensors" ]
                  let lora = folderOf folder golden "final_param.model."

                  let theta =
                      [ for layer in [ 1; 3 ] do
                            let key = $"comp_base_model_model_model_layers[{layer}]_output_unit_pos_nunit_1#0"

                            PyreftModules.parameters
                                (fun name -> golden.TryFind $"final_param.{key}.{name}")
                                (golden.TryFind $"init.{key}.buffer.rotate_layer.parametrizations.weight.0.base")
                            |> Parameters.prefixed $"layers.{layer}.block_output" ]
                      |> Parameters.concat

                  let spec = besideLora

                  let batch = firstBatch "lora_plus_loreft"

                  let measured (model: Transformer) =
                      let gradient =
                          dsharp.grad (fun v -> Loss.reft spec model batch (theta.OfVector v)) theta.Vector

                      Trainer.evaluate (Loss.reft spec model) theta [ batch ], gradient

                  use plain = Checkpoint.load llama
                  use beside = loadLora false lora llama
                  use merged = loadLora true lora llama
                  let loss, gradient = measured beside.Model
                  let mergedLoss, mergedGradient = measured merged.Model
                  Expect.floatClose { absolute = 0.0; relative = 1e-5 } mergedLoss loss "loss"
                  Golden.expectClose 1e-4 gradient mergedGradient "gradient"
                  Expect.isLessThan loss (fst (measured plain.Model)) "LoRA and LoReFT were trained together")
          }
          test "LoRA's updates, trained, give peft's losses, gradient norms and parameters, step by step" {
              scoped (fun () -> reproduces "lora_peft")
          }
          test "and beside LoReFT" { scoped (fun () -> reproduces "lora_plus_loreft") }
          test "scales: rank and alpha patterns, rank stabilised, the adapter's name in the keys" {
              Golden.inTemporaryFolder (fun folder ->
                  let load (change: JsonObject -> unit) =
                      let tensors =
                          pair query 2L 16L 16L @ pair "model.layers.1.mlp.down_proj" 4L 24L 16L
                          |> List.map (fun (name, t) -> name.Replace(".weight", ".default.weight"), t)

                      use lora = PeftLora.load config (written folder change tensors)
                      lora.Updates[query].Scale, lora.Updates["model.layers.1.mlp.down_proj"].Scale

                  let ranked root =
                      set "rank_pattern" (dict [ "q_proj", 2 ]) root

                  Expect.equal (load ranked) (4.0, 2.0) "α / r, 8 / 2 and 8 / 4"

                  Expect.equal
                      (load (fun root ->
                          ranked root
                          set "alpha_pattern" (dict [ @"layers\.1\..*down_proj", 2 ]) root))
                      (4.0, 0.5)
                      "α of a pattern"

                  Expect.equal
                      (load (fun root ->
                          ranked root
                          set "use_rslora" true root))
                      (8.0 / sqrt 2.0, 4.0)
                      "α / √r")
          }
          test "patterns are about the names that the file has" {
              Golden.inTemporaryFolder (fun folder ->
                  let gpt2 = ConfigFile.ofFolder (Golden.path [ "a_models"; "gpt2"; "model" ])
                  let hidden = int64 gpt2.Hidden

                  let change root =
                      set "rank_pattern" (dict [ @"transformer\.h\.0\.attn\.c_attn", 2 ]) root
                      set "alpha_pattern" (dict [ "transformer.h.(0|1).attn.c_attn", 6 ]) root

                  let tensors = pair "transformer.h.0.attn.c_attn" 2L hidden (3L * hidden)
                  use lora = PeftLora.load gpt2 (written folder change tensors)
                  Expect.equal [ for update in lora.Updates.Values -> update.Scale ] [ 3.0 ] "6 / 2")
          }
          test "many plain names of patterns are taken, many regular expressions refused" {
              let one = pair query 4L 16L 16L

              let table form =
                  dict [ for i in 0..19_999 -> String.Format(form, i), 4 ] |> set "rank_pattern"

              Golden.inTemporaryFolder (fun folder ->
                  let before = GC.GetAllocatedBytesForCurrentThread()

                  use lora =
                      PeftLora.load config (written folder (table @"layers\.0.self_attn.x{0}") one)

                  Expect.equal lora.Updates[query].Scale 2.0 "no pattern is its name"
                  Expect.isLessThan (GC.GetAllocatedBytesForCurrentThread() - before) 100_000_000L "memory")

              refuses [ "rank_pattern"; "at most 256 regular expressions"; "20000" ] (table "x{0}|y") one
              refuses [ "at most 4096 characters" ] (set "rank_pattern" (dict [ String('(', 5000), 4 ])) one
          }
          test "a plain name of a pattern is the end of a module's name, whole" {
              let one = pair query 4L 16L 16L

              let expects (scale: float) (pattern: string) =
                  Golden.inTemporaryFolder (fun folder ->
                      use lora =
                          PeftLora.load config (written folder (set "alpha_pattern" (dict [ pattern, 4 ])) one)

                      Expect.equal lora.Updates[query].Scale scale pattern)

              [ "q_proj"; "self_attn.q_proj"; @"0\.self_attn\.q_proj"; query; "q.proj" ]
              |> List.iter (expects 1.0)

              [ "proj"; "_proj"; @"q\.proj"; "x." + query; "self_attn"; "Q_proj" ]
              |> List.iter (expects 2.0)
          }
          test "on GPT-2, whose matrices stand transposed, merged and on the fly agree" {
              Golden.inTemporaryFolder (fun folder ->
                  let gpt2 = Golden.path [ "a_models"; "gpt2"; "model" ]
                  use plain = Checkpoint.load gpt2
                  let hidden = int64 plain.Config.Hidden

                  let lora =
                      written
                          folder
                          (set "fan_in_fan_out" true)
                          (pair "transformer.h.0.attn.c_attn" 4L hidden (3L * hidden)
                           @ pair "transformer.h.1.mlp.c_proj" 4L (int64 plain.Config.Intermediate) hidden)

                  use beside = loadLora false lora gpt2
                  use merged = loadLora true lora gpt2

                  let batch =
                      Batch.create PaddingSide.Right [ Example.ofCompletion [| 5; 6; 7 |] [| 8; 9 |] ]

                  let found = logits beside.Model batch
                  Golden.expectClose 1e-5 found (logits merged.Model batch) "merged"

                  Expect.isGreaterThan
                      (Golden.relativeError (logits plain.Model batch) found)
                      1e-3
                      "it changes the model")
          }
          test "in bf16 the merged matrices are rounded once" {
              scoped (fun () ->
                  let load dtype =
                      Checkpoint.loadWith
                          { Checkpoint.defaults () with
                              Dtype = Some dtype
                              Lora = Some { Folder = trained; Merge = true } }
                          llama

                  use exact = load torch.float32
                  use rounded = load torch.bfloat16
                  let weight = $"{query}.weight"

                  Expect.isTrue
                      (Golden.same (exact.Tensors[weight].``to`` torch.bfloat16) rounded.Tensors[weight])
                      weight)
          }
          test "the model with an adapter is another base model, in the same way merged or not" {
              scoped (fun () ->
                  use plain = Checkpoint.load llama
                  use beside = loadLora false trained llama
                  use merged = loadLora true trained llama
                  Expect.notEqual beside.Fingerprint plain.Fingerprint "another"
                  Expect.equal merged.Fingerprint beside.Fingerprint "merged or not")
          }
          test "loading and disposing leaves no tensor" {
              scoped (fun () ->
                  let before = Golden.liveTensors ()

                  for merge in [ false; true ] do
                      use loaded = loadLora merge trained llama
                      ignore loaded.Model

                  Expect.equal (Golden.liveTensors ()) before "tensors")
          }
          test "what is not plain LoRA is refused with the reason" {
              let one = pair query 4L 16L 16L
              refuses [ "peft_type"; "IA3" ] (set "peft_type" "IA3") one
              refuses [ "use_dora"; "DoRA" ] (set "use_dora" true) one
              refuses [ "'bias'"; "lora_only" ] (set "bias" "lora_only") one
              refuses [ "lora_bias" ] (set "lora_bias" true) one
              refuses [ "modules_to_save"; "lm_head" ] (set "modules_to_save" [| "lm_head" |]) one
              refuses [ "init_lora_weights"; "pissa"; "path_initial_model" ] (set "init_lora_weights" "pissa") one
              refuses [ "layer_replication" ] (set "layer_replication" [| [| 0; 2 |] |]) one
              refuses [ "rank_pattern" ] (set "rank_pattern" (dict [ "(", 2 ])) one
              refuses [ "'r'" ] (set "r" 0) one

              refuses
                  [ "lora_magnitude_vector"; "DoRA" ]
                  ignore
                  (one @ [ $"base_model.model.{query}.lora_magnitude_vector", draw 3 [ 16L ] ])

              refuses
                  [ "embeddings" ]
                  ignore
                  [ "base_model.model.model.embed_tokens.lora_embedding_A", draw 3 [ 4L; 40L ] ]

              refuses [ "expected base_model.model.MODULE.lora_A.weight" ] ignore [ "x", draw 3 [ 4L ] ]
              refuses [ "found no tensor" ] ignore []
              refuses [ "no such linear map" ] ignore (pair "model.layers.7.self_attn.q_proj" 4L 16L 16L)
              refuses [ "expected one lora_B, found 0" ] ignore [ one.Head ]
              refuses [ "rank 4"; "[2, 16]" ] ignore (pair query 2L 16L 16L)
              refuses [ "lora_A [4, in]"; "[4, 15]" ] ignore (pair query 4L 15L 16L)

              refuses
                  [ "lora_A"; "floating-point"; "found I32" ]
                  ignore
                  (one |> List.map (fun (name, t) -> name, t.``to`` torch.int32))

              refuses [ query; "a finite scale"; "E+300" ] (set "lora_alpha" 1e300) one
              refuses [ "not finite" ] ignore (one |> List.map (fun (name, t) -> name, t * nanf))
          }
          test "a folder without one of its files is refused with what was expected" {
              Golden.inTemporaryFolder (fun folder ->
                  Golden.throwsWith<FileNotFoundException> [ "adapter_config.json" ] (fun () ->
                      PeftLora.load config folder |> ignore)

                  written folder ignore [] |> ignore
                  File.Delete(Path.Combine(folder, "adapter_model.safetensors"))

                  Golden.throwsWith<FileNotFoundException> [ "adapter_model.safetensors" ] (fun () ->
                      PeftLora.load config folder |> ignore))
          } ]
