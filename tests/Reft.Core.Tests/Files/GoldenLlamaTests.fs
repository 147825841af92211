module Reft.Core.Tests.Files.GoldenLlamaTests

open System.IO
open Expecto
open Reft.Core
open Reft.Core.Tests
open TorchSharp

/// The issue asks for 1e-4. Measured: at most 1e-6 forward and 3e-6 for gradients; a looser bound could hide a mistake.
let private tolerance = 1e-5

/// Only tokens count: what a padding row holds is nobody's business. [batch, seq, …] → [tokens, …]
let private tokensOnly (mask: Tensor) (values: Tensor) =
    let rows = mask.reshape(-1L).nonzero().reshape(-1L)
    values.reshape(-1L, values.shape[values.shape.Length - 1]).index_select(0L, rows)

/// The residual stream before every block, after the last one, and after the final norm.
let private trace (context: Context) (ids: Tensor) (model: Transformer) =
    let residuals =
        model.Blocks
        |> Array.scan (fun h (block: Block) -> block Transformer.identityTap context h) (model.Embed ids)

    residuals, model.Norm(Array.last residuals)

let private loss (logits: Tensor) (labels: Tensor) =
    let length = labels.shape[1] - 1L
    let predicted = logits.narrow(1L, 0L, length).reshape(-1L, logits.shape[2])
    let wanted = labels.narrow(1L, 1L, length).reshape -1L
    torch.nn.functional.cross_entropy (predicted, wanted, ignore_index = -100L)

/// The model's folder under a configuration file of another name.
let private withConfig (name: string) (config: string) (folder: string) =
    for file in [ "model.safetensors"; "generation_config.json" ] do
        File.Copy(Golden.path [ "a_models"; name; "model"; file ], Path.Combine(folder, file))

    File.Copy(Golden.path [ "a_models"; name; "model"; config ], Path.Combine(folder, "config.json"))

let private matches name config kernel side =
    Golden.inTemporaryFolder (fun folder ->
        withConfig name config folder
        use loaded = Checkpoint.load folder
        let golden = Golden.tensors [ "a_models"; name; "golden.safetensors" ]
        let find what = golden |> Map.tryFind $"{side}.{what}"
        let ids, mask = golden[$"{side}.input_ids"], golden[$"{side}.attention_mask"]
        let model = loaded.Model

        let context =
            model |> Transformer.context None 0 (int ids.shape[1]) (Golden.spans mask)

        let context = { context with Attention = kernel }

        let residuals, normed = trace context ids model
        let logits = model |> Transformer.logits context ids
        let mutable compared = 0

        let compare what (actual: Tensor) =
            match find what with
            | None -> ()
            | Some expected ->
                compared <- compared + 1
                Golden.expectClose tolerance (tokensOnly mask expected) (tokensOnly mask actual) $"{side}.{what}"

        compare "logits" logits
        compare "last_block_output" (Array.last residuals)
        compare $"hidden.{residuals.Length - 1}" normed

        for i in 0 .. residuals.Length - 2 do
            compare $"hidden.{i}" residuals[i]

        Expect.isGreaterThanOrEqual compared 2 "compared tensors"
        let reached = (loss logits golden[$"{side}.labels"]).reshape 1L
        Golden.expectClose tolerance golden[$"{side}.loss"] reached $"{side}.loss")

let private gradients (name: string) =
    Golden.inTemporaryFolder (fun _ ->
        use loaded = Checkpoint.load (Golden.path [ "a_models"; name; "model" ])
        let golden = Golden.tensors [ "a_models"; name; "golden.safetensors" ]
        let expected = Golden.tensors [ "a_models"; name; "grads_right.safetensors" ]

        let weights =
            loaded.Tensors
            |> Seq.map (fun entry -> entry.Key, entry.Value.detach().clone().requires_grad_ true)
            |> dict

        let model = Llama.build loaded.Config (fun weight -> weights[weight])
        let ids, mask = golden["right.input_ids"], golden["right.attention_mask"]

        let context =
            model |> Transformer.context None 0 (int ids.shape[1]) (Golden.spans mask)

        (loss (model |> Transformer.logits context ids) golden["right.labels"]).backward()
        Expect.equal expected.Count weights.Count "number of gradients"

        for KeyValue(weight, gradient) in expected do
            match weights[weight].grad with
            | null -> failtestf "%s has no gradient" weight
            | actual -> Golden.expectClose tolerance gradient actual weight)

let private ropeTable (case: string) theta scaling =
    Golden.inTemporaryFolder (fun _ ->
        let golden = Golden.tensors [ "a_models"; "rope_tables"; "tensors.safetensors" ]
        let frequencies = Rotary.inverseFrequencies 64 theta scaling
        Golden.expectClose 1e-6 golden[$"{case}.inv_freq"] (torch.tensor frequencies) "inv_freq"
        let ids = golden["position_ids"]

        let context =
            { Context.create torch.float32 torch.CPU None 0 7 [| RowSpan.contiguous 0 7 7 |] with
                PositionIds = ids
                PlainPositions = false }

        let struct (cos, sin) = Rotary.tables torch.float32 torch.CPU frequencies context

        let half (table: Tensor) =
            table.reshape(1L, 7L, -1L).narrow(2L, 0L, 32L)

        Golden.expectClose 1e-6 (half golden[$"{case}.cos"]) (half cos) "cos"
        Golden.expectClose 1e-6 (half golden[$"{case}.sin"]) (half sin) "sin")

[<Tests>]
let tests =
    testList
        "Golden Llamas"
        [ for name in [ "llama"; "llama31_rope"; "llama_bias_tied" ] do
              for config in [ "config.json"; "config.v4.json" ] do
                  for side in [ "right"; "left" ] do
                      test $"{name}, {config}, {side} padded" { matches name config AttentionKernel.Fused side }

              test $"{name}, attention written out" {
                  matches name "config.json" AttentionKernel.Plain "right"
                  matches name "config.json" AttentionKernel.Plain "left"
              }

          test "gradients of every weight" { gradients "llama" }

          for case, theta, scaling in
              [ "default", 1e4, RopeScaling.Default
                "theta500k", 5e5, RopeScaling.Default
                "linear4", 1e4, RopeScaling.Linear 4.0
                "llama31", 5e5, RopeScaling.Llama3(8.0, 1.0, 4.0, 8192)
                "llama32", 5e5, RopeScaling.Llama3(32.0, 1.0, 4.0, 8192) ] do
              test $"rotary tables, {case}" { ropeTable case theta scaling } ]
