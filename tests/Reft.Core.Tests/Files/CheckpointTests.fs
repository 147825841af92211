module Reft.Core.Tests.Files.CheckpointTests

open System
open System.IO
open System.Text.Json
open Expecto
open Reft.Core
open Reft.Core.Tests
open TorchSharp

let private config: ModelConfig =
    { ModelConfig.llama with
        Hidden = 16
        Layers = 2
        Heads = { Heads = 4; KvHeads = 2; HeadDim = 4 }
        Intermediate = 24
        Vocabulary = 32
        Context = 64
        NormEpsilon = 1e-5
        RopeTheta = 5e5
        RopeScaling = RopeScaling.Llama3(8.0, 1.0, 4.0, 32)
        TiedHead = true
        AttentionBias = true
        EosIds = [ 2; 3 ] }

let private weights (dtype: torch.ScalarType) (config: ModelConfig) =
    Llama.tensors config
    |> List.mapi (fun i (name, shape) -> name, (Rng.ofSeed 3L |> Rng.fork i |> Rng.normal shape).``to`` dtype)

let private saved folder dtype =
    Checkpoint.save folder config (weights dtype config)

let private modelFile folder =
    Path.Combine(folder, "model.safetensors")

/// Writes weights that save itself would refuse.
let private overwrite folder tensors =
    Safetensors.write (modelFile folder) Map.empty tensors

let private logits (loaded: LoadedModel) =
    let ids = torch.arange(6L).view(1L, 6L)

    let context =
        loaded.Model |> Transformer.context None 0 6 [| RowSpan.contiguous 0 0 6 6 |]

    loaded.Model |> Transformer.logits context ids

let private shard (folder: string) (tensors: (string * Tensor) list) =
    let half = tensors.Length / 2

    let parts =
        [ "model-1.safetensors", List.take half tensors
          "model-2.safetensors", List.skip half tensors ]

    for name, part in parts do
        Safetensors.write (Path.Combine(folder, name)) Map.empty part

    File.Delete(modelFile folder)

    [ for name, part in parts do
          for tensor, _ in part -> tensor, name ]

let private writeIndex (folder: string) (rows: (string * string) list) =
    File.WriteAllText(modelFile folder + ".index.json", JsonSerializer.Serialize {| weight_map = dict rows |})

let private anonymousBytes () =
    File.ReadAllLines "/proc/self/status"
    |> Array.find (fun line -> line.StartsWith("RssAnon:", StringComparison.Ordinal))
    |> fun line ->
        int64 (line.Split([| ' '; '\t' |], StringSplitOptions.RemoveEmptyEntries)[1])
        * 1024L

/// A bf16 model of about 64 MB.
let private large =
    { config with
        Hidden = 512
        Heads = { Heads = 8; KvHeads = 8; HeadDim = 64 }
        Intermediate = 1024
        Vocabulary = 48000
        Layers = 3 }

[<Tests>]
let tests =
    testList
        "Checkpoint"
        [ test "save ∘ load is the identity" {
              for dtype in [ torch.ScalarType.Float32; torch.ScalarType.BFloat16 ] do
                  Golden.inTemporaryFolder (fun folder ->
                      saved folder dtype
                      use loaded = Checkpoint.load folder
                      Expect.equal loaded.Config config "config"
                      Expect.equal loaded.EosIds [ 2; 3 ] "end tokens"
                      Expect.equal loaded.Model.Dtype dtype "dtype"

                      for name, expected in weights dtype config do
                          Expect.isTrue (Golden.same expected (loaded.Tensors[name])) name)
          }

          test "saving what was loaded gives the same bytes" {
              Golden.inTemporaryFolder (fun folder ->
                  saved folder torch.bfloat16
                  use loaded = Checkpoint.load folder
                  let other = Path.Combine(folder, "other")
                  Checkpoint.save other loaded.Config [ for entry in loaded.Tensors -> entry.Key, entry.Value ]

                  for path in Directory.GetFiles folder do
                      let copy = Path.Combine(other, Path.GetFileName path |> string)
                      Expect.equal (File.ReadAllBytes copy) (File.ReadAllBytes path) copy)
          }

          test "a model can be saved over the file it is mapped from" {
              Golden.inTemporaryFolder (fun folder ->
                  saved folder torch.float32
                  use loaded = Checkpoint.load folder
                  let before = logits loaded
                  let doubled = [ for entry in loaded.Tensors -> entry.Key, entry.Value * 2.0f ]
                  Checkpoint.save folder loaded.Config doubled
                  Expect.isTrue (Golden.same before (logits loaded)) "the loaded model is what it was"
                  use again = Checkpoint.load folder

                  Expect.isTrue
                      (Golden.same (loaded.Tensors["model.norm.weight"] * 2.0f) again.Tensors["model.norm.weight"])
                      "the new one")
          }

          test "F16 files load as bf16 on a CPU, and in any dtype that is asked for" {
              Golden.inTemporaryFolder (fun folder ->
                  saved folder torch.float16
                  use standard = Checkpoint.load folder
                  Expect.equal standard.Model.Dtype torch.bfloat16 "default"

                  for dtype in [ torch.float32; torch.bfloat16; torch.float16 ] do
                      use loaded =
                          Checkpoint.loadWith
                              { Checkpoint.defaults () with
                                  Dtype = Some dtype }
                              folder

                      Expect.equal loaded.Model.Dtype dtype "asked for"

                      Expect.isTrue
                          (loaded.Tensors.Values |> Seq.forall (fun tensor -> tensor.dtype = dtype))
                          "weights"

                  Golden.throwsWith<ArgumentException> [ "floating-point"; "Int64" ] (fun () ->
                      Checkpoint.loadWith
                          { Checkpoint.defaults () with
                              Dtype = Some torch.int64 }
                          folder
                      |> ignore))
          }

          test "shards give the same model and the same fingerprint" {
              Golden.inTemporaryFolder (fun folder ->
                  saved folder torch.float32

                  let expected, fingerprint =
                      use loaded = Checkpoint.load folder
                      logits loaded, loaded.Fingerprint

                  shard folder (weights torch.float32 config) |> writeIndex folder
                  use loaded = Checkpoint.load folder
                  Expect.isTrue (Golden.same expected (logits loaded)) "logits"
                  Expect.equal loaded.Fingerprint fingerprint "fingerprint"
                  Expect.equal (Fingerprint.ofFolder folder) fingerprint "fingerprint of the folder")
          }

          test "the fingerprint tells weights, dtypes and configurations apart, and nothing else" {
              Golden.inTemporaryFolder (fun folder ->
                  let of' config tensors =
                      Checkpoint.save folder config tensors
                      Fingerprint.ofFolder folder

                  let plain = of' config (weights torch.float32 config)
                  Expect.equal (of' config (weights torch.float32 config)) plain "the same again"

                  Expect.equal
                      (of' { config with EosIds = [ 9 ] } (weights torch.float32 config))
                      plain
                      "other token ids"

                  let withUnread =
                      ("lm_head.weight", torch.ones (32L, 16L)) :: weights torch.float32 config

                  Expect.equal (of' config withUnread) plain "a tensor that nothing reads"

                  let changed =
                      weights torch.float32 config
                      |> List.map (fun (name, tensor) ->
                          name,
                          (if name = "model.norm.weight" then
                               tensor + 1e-3f
                           else
                               tensor))

                  let others =
                      [ of' config changed
                        of' config (weights torch.bfloat16 config)
                        of' { config with RopeTheta = 1e4 } (weights torch.float32 config) ]

                  Expect.equal (List.distinct (plain :: others)).Length 4 "all differ")
          }

          test "names without the leading 'model.' are understood" {
              Golden.inTemporaryFolder (fun folder ->
                  saved folder torch.float32

                  let expected =
                      use loaded = Checkpoint.load folder
                      logits loaded

                  weights torch.float32 config
                  |> List.map (fun (name, tensor) -> name.Substring "model.".Length, tensor)
                  |> overwrite folder

                  use loaded = Checkpoint.load folder
                  Expect.isTrue (Golden.same expected (logits loaded)) "logits")
          }

          test "all missing, unexpected and mis-shaped tensors are named at once" {
              Golden.inTemporaryFolder (fun folder ->
                  saved folder torch.float32

                  weights torch.float32 config
                  |> List.filter (fun (name, _) ->
                      name <> "model.norm.weight" && name <> "model.layers.1.mlp.up_proj.weight")
                  |> List.map (fun (name, tensor) ->
                      name,
                      match name with
                      | "model.layers.0.self_attn.k_proj.weight" -> tensor.t().contiguous()
                      | "model.layers.0.self_attn.q_proj.bias" -> tensor.``to`` torch.int64
                      | _ -> tensor)
                  |> List.append
                      [ "model.extra", torch.ones 1L
                        "model.layers.0.self_attn.rotary_emb.inv_freq", torch.ones 2L ]
                  |> overwrite folder

                  Golden.throwsWith<InvalidDataException>
                      [ folder
                        "2 missing"
                        "'model.norm.weight' [16]"
                        "'model.layers.1.mlp.up_proj.weight'"
                        "1 unexpected: 'model.extra'"
                        "2 of another shape or dtype"
                        "'model.layers.0.self_attn.k_proj.weight' (expected F32/F16/BF16 [8, 16], found F32 [16, 8])"
                        "'model.layers.0.self_attn.q_proj.bias' (expected F32/F16/BF16 [16], found I64 [16])" ]
                      (fun () -> Checkpoint.load folder |> ignore))
          }

          test "saving refuses what could not be loaded, and writes nothing" {
              Golden.inTemporaryFolder (fun folder ->
                  Golden.throwsWith<InvalidDataException> [ "missing"; "'model.norm.weight'" ] (fun () ->
                      weights torch.float32 config
                      |> List.filter (fun (name, _) -> name <> "model.norm.weight")
                      |> Checkpoint.save folder config)

                  Expect.isEmpty (Directory.GetFileSystemEntries folder) "files")
          }

          test "missing files are named" {
              Golden.inTemporaryFolder (fun folder ->
                  let load () = Checkpoint.load folder |> ignore
                  Golden.throwsWith<FileNotFoundException> [ folder; "config.json" ] load
                  saved folder torch.float32
                  File.Delete(modelFile folder)
                  Golden.throwsWith<FileNotFoundException> [ folder; "model.safetensors"; "safetensors" ] load
                  let rows = shard folder (weights torch.float32 config)
                  writeIndex folder rows
                  File.Delete(Path.Combine(folder, "model-2.safetensors"))
                  Golden.throwsWith<FileNotFoundException> [ "model-2.safetensors" ] load)
          }

          test "an index that points out of the folder, or lies, is refused" {
              Golden.inTemporaryFolder (fun folder ->
                  saved folder torch.float32
                  let rows = shard folder (weights torch.float32 config)
                  let load () = Checkpoint.load folder |> ignore

                  for bad in
                      [ "../model-1.safetensors"
                        "/etc/x.safetensors"
                        "a/b.safetensors"
                        "a\\b.safetensors"
                        ".."
                        ""
                        "pytorch_model.bin" ] do
                      writeIndex folder ((fst rows.Head, bad) :: rows.Tail)
                      Golden.throwsWith<InvalidDataException> [ "index.json"; "plain name" ] load

                  let name, _ = rows.Head
                  writeIndex folder ((name, "model-2.safetensors") :: rows.Tail)
                  Golden.throwsWith<InvalidDataException> [ "index.json"; $"'{name}' (in model-2.safetensors)" ] load

                  for text in [ "[]"; "{}"; """{"weight_map":[]}"""; """{"weight_map":{"a":1}}"""; "{" ] do
                      File.WriteAllText(modelFile folder + ".index.json", text)
                      Golden.throwsWith<InvalidDataException> [ "index.json" ] load)
          }

          test "a truncated checkpoint is refused, and the file can be replaced afterwards" {
              Golden.inTemporaryFolder (fun folder ->
                  saved folder torch.float32
                  let bytes = File.ReadAllBytes(modelFile folder)
                  File.WriteAllBytes(modelFile folder, bytes[.. bytes.Length / 2])

                  Golden.throwsWith<InvalidDataException> [ modelFile folder; "data section" ] (fun () ->
                      Checkpoint.load folder |> ignore)

                  File.WriteAllBytes(modelFile folder, bytes)
                  use loaded = Checkpoint.load folder
                  Expect.equal loaded.Config config "config")
          }

          test "loading 100 times leaves no tensor behind, failures included" {
              Golden.inTemporaryFolder (fun folder ->
                  let broken = Path.Combine(folder, "broken")
                  saved folder torch.float16
                  saved broken torch.float32
                  overwrite broken [ "a", torch.ones 1L ]
                  let before = Golden.liveTensors ()

                  for _ in 1..100 do
                      use loaded = Checkpoint.load folder
                      ignore loaded

                      try
                          Checkpoint.load broken |> ignore
                      with :? InvalidDataException ->
                          ()

                  Expect.equal Tensor.TotalCount before "live tensors")
          }

          test "loading in the file's dtype copies nothing" {
              Golden.inTemporaryFolder (fun folder ->
                  Checkpoint.save folder large (weights torch.bfloat16 large)
                  let size = FileInfo(modelFile folder).Length
                  Expect.isGreaterThan size 50_000_000L "size"

                  // Once without measuring: what the runtime itself allocates at first use is no copy.
                  (Checkpoint.load folder :> IDisposable).Dispose()
                  let before = anonymousBytes ()
                  use loaded = Checkpoint.load folder
                  let mutable total = 0.0

                  // Touches every page, so that a private mapping would have to show.
                  for tensor in loaded.Tensors.Values do
                      use _ = torch.NewDisposeScope()
                      total <- total + float (tensor.max().``to``(torch.float32).item<float32>())

                  let grown = anonymousBytes () - before
                  Expect.isLessThan grown (size / 4L) $"anonymous memory grew by {grown} of {size} bytes (max {total})")
          } ]
