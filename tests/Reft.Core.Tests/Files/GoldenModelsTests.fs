module Reft.Core.Tests.Files.GoldenModelsTests

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
        |> Array.scan (fun h (block: Block) -> block Transformer.identityTap context h) (model.Embed context ids)

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

        let learnt = name = "gpt2"

        let context = { context with Attention = kernel }

        match find "logits_with_position_ids" with
        | Some expected ->
            let logits = model |> Transformer.logits context ids
            Golden.expectClose tolerance (tokensOnly mask expected) (tokensOnly mask logits) "logits, own positions"
        | None -> ()

        // Where a model has learnt positions, transformers numbers the columns of a forward pass, padding too.
        let context =
            if learnt then
                { context with
                    PositionIds = torch.arange(ids.shape[1], dtype = torch.int64).expand_as ids }
            else
                context

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

        let model =
            (Families.ofConfig loaded.Config).Build loaded.Config (Weights.ofTensors (fun weight -> weights[weight]))

        let ids, mask = golden["right.input_ids"], golden["right.attention_mask"]

        let context =
            model |> Transformer.context None 0 (int ids.shape[1]) (Golden.spans mask)

        (loss (model |> Transformer.logits context ids) golden["right.labels"]).backward()
        Expect.equal expected.Count weights.Count "number of gradients"

        for KeyValue(weight, gradient) in expected do
            match weights[weight].grad with
            | null -> failtestf "%s has no gradient" weight
            | actual -> Golden.expectClose tolerance gradient actual weight)

/// In bf16 the numbers are those of fp32 but for its three digits, also of the last token by way of the cache.
let private narrow (name: string) =
    Golden.inTemporaryFolder (fun _ ->
        let folder = Golden.path [ "a_models"; name; "model" ]
        use wide = Checkpoint.load folder

        use narrow =
            Checkpoint.loadWith
                { Checkpoint.defaults () with
                    Dtype = Some torch.bfloat16 }
                folder

        let row = [| 5L; 9L; 31L; 77L; 120L; 8L; 45L; 200L; 17L; 33L; 64L; 101L |]
        let last = row.Length - 1
        let ids = torch.tensor(row).unsqueeze 0L

        let span length =
            [| RowSpan.contiguous 0 0 length length |]

        let logits cache offset (ids: Tensor) (model: Transformer) =
            let context =
                model
                |> Transformer.context cache offset (int ids.shape[1]) (span (offset + int ids.shape[1]))

            model |> Transformer.logits context ids

        let expected = wide.Model |> logits None 0 ids
        let found = narrow.Model |> logits None 0 ids
        Golden.expectClose 0.05 expected found "in one pass"

        use cache = narrow.Model |> Transformer.cache 1 row.Length
        let first = narrow.Model |> logits (Some cache) 0 (ids.narrow (1L, 0L, int64 last))

        let next =
            narrow.Model |> logits (Some cache) last (ids.narrow (1L, int64 last, 1L))

        let stepwise = torch.cat (ResizeArray [ first; next ], 1L)
        Golden.expectClose 0.05 expected stepwise "by way of the cache")

/// transformers' rule for Phi-3: divisors by length, and √(1 + ln s / ln L) for a context stretched s times.
let private longRope () =
    Golden.inTemporaryFolder (fun folder ->
        let path = Path.Combine(folder, "config.json")

        File.WriteAllText(
            path,
            """{"model_type":"phi3","hidden_size":16,"num_hidden_layers":1,"num_attention_heads":2,
                "intermediate_size":8,"vocab_size":9,"max_position_embeddings":64,"partial_rotary_factor":0.5,
                "original_max_position_embeddings":16,
                "rope_scaling":{"type":"longrope","short_factor":[1.0,2.0],"long_factor":[4.0,8.0]}}"""
        )

        let config = ConfigFile.read path

        let frequencies =
            Rotary.inverseFrequencies 4 config.RopeTheta config.RopeScaling
            >> Array.map float

        let expectAll expected length =
            Array.iter2
                (fun e a -> Expect.floatClose Accuracy.medium a e $"length {length}")
                expected
                (frequencies length)

        expectAll [| 1.0; 0.01 / 2.0 |] 16
        expectAll [| 1.0 / 4.0; 0.01 / 8.0 |] 17

        Expect.floatClose
            Accuracy.high
            (Rotary.attentionFactor config.RopeScaling)
            (sqrt (1.0 + log 4.0 / log 16.0))
            "factor")

/// The hub's own GPT-2 has no prefix, old masks, and sometimes the tied head.
let private oldNames () =
    Golden.inTemporaryFolder (fun folder ->
        let from = Golden.path [ "a_models"; "gpt2"; "model" ]
        use expected = Checkpoint.load from

        let strip (name: string) = name.Substring "transformer.".Length

        let tensors =
            [ for entry in expected.Tensors do
                  strip entry.Key, entry.Value
              "h.0.attn.bias", torch.ones (1L, 1L, 4L, 4L)
              "lm_head.weight", expected.Tensors["transformer.wte.weight"].clone() ]

        File.Copy(Path.Combine(from, "config.json"), Path.Combine(folder, "config.json"))
        let path = Path.Combine(folder, "model.safetensors")

        let write tensors =
            use stream = File.Create path
            Safetensors.writer Map.empty tensors stream

        write tensors

        do
            use found = Checkpoint.load folder
            Expect.equal found.Fingerprint expected.Fingerprint "the same model"

        let name, tensor = tensors.Head
        write (("transformer." + name, tensor.clone ()) :: tensors)

        Golden.throwsWith<InvalidDataException> [ "one tensor"; "transformer." + name ] (fun () ->
            Checkpoint.load folder |> ignore))

/// Both styles say the same, and so does what is written of it.
let private rewritten (name: string) =
    Golden.inTemporaryFolder (fun folder ->
        let read file =
            ConfigFile.read (Golden.path [ "a_models"; name; "model"; file ])

        let config = read "config.json"
        Expect.equal (read "config.v4.json") config "keys of transformers 4"
        let path = Path.Combine(folder, "config.json")

        do
            use stream = File.Create path
            ConfigFile.writer "float32" config stream

        Expect.equal (ConfigFile.read path) config "written and read")

let private ropeTable (case: string) theta scaling =
    Golden.inTemporaryFolder (fun _ ->
        let golden = Golden.tensors [ "a_models"; "rope_tables"; "tensors.safetensors" ]
        let frequencies = Rotary.inverseFrequencies 64 theta scaling 7
        Golden.expectClose 1e-6 golden[$"{case}.inv_freq"] (torch.tensor frequencies) "inv_freq"
        let ids = golden["position_ids"]

        let context =
            { Context.create torch.CPU None 0 7 [| RowSpan.contiguous 0 0 7 7 |] with
                PositionIds = ids
                PlainPositions = false }

        let struct (cos, sin) =
            Rotary.tables torch.float32 torch.CPU 64 theta scaling context

        let half (table: Tensor) =
            table.reshape(1L, 7L, -1L).narrow(2L, 0L, 32L)

        Golden.expectClose 1e-6 (half golden[$"{case}.cos"]) (half cos) "cos"
        Golden.expectClose 1e-6 (half golden[$"{case}.sin"]) (half sin) "sin")

[<Tests>]
let tests =
    testList
        "Golden models"
        [ for name in Golden.decoders do
              for config in [ "config.json"; "config.v4.json" ] do
                  for side in [ "right"; "left" ] do
                      test $"{name}, {config}, {side} padded" { matches name config AttentionKernel.Fused side }

              test $"{name}, attention written out" {
                  matches name "config.json" AttentionKernel.Plain "right"
                  matches name "config.json" AttentionKernel.Plain "left"
              }

              test $"{name}, in bf16" { narrow name }
              test $"{name}, its configuration written and read" { rewritten name }

          for name in [ "llama"; "gpt2"; "gpt_neox" ] do
              test $"gradients of every weight, {name}" { gradients name }

          test "Phi-3's long context" { longRope () }
          test "GPT-2's old names" { oldNames () }

          for case, theta, scaling in
              [ "default", 1e4, RopeScaling.Default
                "theta500k", 5e5, RopeScaling.Default
                "linear4", 1e4, RopeScaling.Linear 4.0
                "dynamic2", 1e4, RopeScaling.Dynamic(2.0, 2048)
                "yarn4", 1e4, RopeScaling.Yarn(4.0, 2048, 1.138629436111989, 32.0, 1.0)
                "llama31", 5e5, RopeScaling.Llama3(8.0, 1.0, 4.0, 8192)
                "llama32", 5e5, RopeScaling.Llama3(32.0, 1.0, 4.0, 8192) ] do
              test $"rotary tables, {case}" { ropeTable case theta scaling } ]
