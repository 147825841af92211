module Reft.Core.Tests.Files.AdapterTests

open System.IO
open System.Text.Json
open Expecto
open FsCheck
open TorchSharp
open Reft.Core
open Reft.Core.Syntax
open Reft.Core.Tests
open Reft.Core.Tests.TinyModel

let private mine =
    Intervention.define
        "tanh-shift"
        (fun width rng -> Parameters.ofSeq [ "v", Rng.normal [ int64 width ] rng ])
        (fun theta _ h -> theta["v"] * dsharp.tanh h)

let private registry = Registry.standard |> Registry.add mine

let private specs: ReftSpec list =
    [ loreft 2 |> at (blockOutput [ 0; 2 ]) (first 2 + last 2)
      loreft 1 |> at (mlpOutput [ 1 ]) all |> tied
      Loreft.create
          { Loreft.options 3 with
              Activation = Activation.silu
              Orthonormal = Orthonormal.householder }
      |> at (attentionValue [ 1 ] |> heads 1 2) (span 1 3)
      0.5 * loreft 2 + gate mine (1.0 * loreft 1) |> at (blockOutput [ 1 ]) (every 2) |> ReftSpec.during Phase.Always
      (mine >=> Intervention.onSubspace [ 0; 2 ] (loreft 3))
      |> at (blockInput [ 0; 1 ]) (Positions.Explicit [ 0; 4 ])
      |> ReftSpec.sharedAs "both"
      |> ReftSpec.withShortPrompt ShortPrompt.Pyreft
      loreft 1 |> at (query [ 0 ]) (first 2) |> ReftSpec.withTying Tying.EachPosition
      Intervention.zero |> at (key [ 0 ]) (first 1) ]

/// A spec as data, without its functions.
let private data (spec: ReftSpec) =
    spec
    |> List.map (fun p -> p.Site, p.Where, p.When, p.What.Form, p.Tie, p.Share, p.ShortPrompt)

let private roundTrip (spec: ReftSpec) =
    Golden.inTemporaryFolder (fun folder ->
        let theta = Reft.init spec config (Rng.ofSeed 9L)
        Adapter.save folder config "sha256:base" spec theta
        use loaded = Adapter.load registry (Some "sha256:base") config folder
        Expect.equal (data loaded.Spec) (data spec) "spec"
        Expect.equal loaded.Parameters.Names theta.Names "names"

        for p, q in Seq.zip theta.Entries loaded.Parameters.Entries do
            Expect.equal q.Role p.Role $"role of {p.Name}"
            Expect.isTrue (p.Value.equal(q.Value).all().item<bool> ()) $"{p.Name}, bit for bit")

let private refuses (text: string) (change: string -> unit) =
    Golden.inTemporaryFolder (fun folder ->
        let spec = specs.Head
        Adapter.save folder config "sha256:base" spec (Reft.init spec config (Rng.ofSeed 9L))
        change folder

        Expect.throwsC (fun () -> Adapter.load Registry.standard (Some "sha256:base") config folder |> ignore) (fun e ->
            Expect.stringContains e.Message text "message"
            Expect.stringContains e.Message folder "the file is named"))

let private edit (file: string) (old: string) (replacement: string) (folder: string) =
    let path = Path.Combine(folder, file)
    let text = File.ReadAllText path
    Expect.stringContains text old "the test changes what is there"
    File.WriteAllText(path, text.Replace(old, replacement))

let private rewriteTensors (change: Map<string, Tensor> -> Map<string, Tensor>) (folder: string) =
    let path = Path.Combine(folder, "reft.safetensors")
    Safetensors.readAll path |> change |> Map.toList |> Safetensors.write path Map.empty

let private first' = "layers.0.block_output.prefix.bias"

[<Tests>]
let tests =
    testList
        "Adapter"
        [ for i, spec in List.indexed specs do
              test $"save then load gives the same spec and the same bits: {i}" { scoped (fun () -> roundTrip spec) }

          testProperty "every form reads back as it was written" (fun (seed: int64) ->
              let rec form depth rng =
                  let struct (kind, rng) = Rng.below (if depth > 3 then 3 else 8) rng
                  let inner i = form (depth + 1) (Rng.fork i rng)
                  let struct (n, _) = Rng.below 1000 rng

                  match kind with
                  | 0 -> Form.Zero
                  | 1 -> Form.Custom $"my-{n}"
                  | 2 ->
                      Form.Method(
                          "m",
                          [ "a", FormOption.Int n
                            "b", FormOption.Float(float n)
                            "c", FormOption.Text "x \"y\""
                            "d", FormOption.Flag true ]
                      )
                  | 3 -> Form.Sum [ inner 0; inner 1 ]
                  | 4 -> Form.Then [ inner 0; inner 1 ]
                  | 5 -> Form.Scale(float n / 7.0, inner 0)
                  | 6 -> Form.Gate(inner 0, inner 1)
                  | _ -> Form.Subspace([ 0; n + 1 ], inner 0)

              let original = form 0 (Rng.ofSeed seed)
              use stream = new MemoryStream()

              (use writer = new Utf8JsonWriter(stream)
               FormJson.write writer original)

              FormJson.read (JsonValue.parse "test" (System.ReadOnlyMemory(stream.ToArray()))) = original)
          test "an adapter of another base model is refused, and taken on request" {
              Golden.inTemporaryFolder (fun folder ->
                  let spec = specs.Head
                  Adapter.save folder config "sha256:base" spec (Reft.init spec config (Rng.ofSeed 9L))

                  Expect.throwsC
                      (fun () -> Adapter.load registry (Some "sha256:other") config folder |> ignore)
                      (fun e -> Expect.stringContains e.Message "another base model" "message")

                  use loaded = Adapter.load registry None config folder
                  Expect.equal loaded.BaseFingerprint "sha256:base" "it says which")
          }
          test "a damaged or foreign folder is refused with the file and the reason" {
              refuses "is not an adapter" (fun folder -> File.Delete(Path.Combine(folder, "reft.json")))
              refuses "is missing" (fun folder -> File.Delete(Path.Combine(folder, "reft.safetensors")))
              refuses "expected JSON" (fun folder -> File.WriteAllText(Path.Combine(folder, "reft.json"), "{"))
              refuses "newer than this library" (edit "reft.json" "\"format_version\": 1" "\"format_version\": 2")
              refuses "no method 'loroft'" (edit "reft.json" "loreft" "loroft")
              refuses "is not a site" (edit "reft.json" "layers.0.block_output" "layers.0.nowhere")
              refuses "expected a layer of 0 … 2" (edit "reft.json" "layers.2.block_output" "layers.5.block_output")
              refuses "expected one of prompt, decode, always" (edit "reft.json" "\"prompt\"" "\"sometimes\"")
              refuses "is no position" (edit "reft.json" "f2" "x2")

              refuses "expected F32 [3, 16], found" (edit "reft.json" "\"rank\": 2" "\"rank\": 3")

              refuses "" (fun folder ->
                  let path = Path.Combine(folder, "reft.safetensors")
                  use stream = new FileStream(path, FileMode.Open)
                  stream.SetLength(stream.Length - 8L))

              refuses $"missing {first'}" (rewriteTensors (Map.remove first'))
              refuses "unexpected extra" (rewriteTensors (Map.add "extra" (torch.zeros 1L)))
              refuses "not finite" (rewriteTensors (Map.add first' (torch.full (2L, nanf.ToScalar()))))
          }
          test "weights of another save are not paired with the manifest" {
              Golden.inTemporaryFolder (fun folder ->
                  let spec = specs.Head
                  let save seed = Adapter.save folder config "sha256:base" spec (Reft.init spec config (Rng.ofSeed seed))
                  save 1L
                  let older = File.ReadAllBytes(Path.Combine(folder, "reft.safetensors"))
                  save 2L
                  // As if the process had died between the two renames.
                  File.WriteAllBytes(Path.Combine(folder, "reft.safetensors"), older)

                  Expect.throwsC (fun () -> Adapter.load Registry.standard None config folder |> ignore) (fun e ->
                      Expect.stringContains e.Message "does not belong to" "message"))
          }
          test "a custom intervention that the reader has not registered is refused by name" {
              Golden.inTemporaryFolder (fun folder ->
                  let spec = mine |> at (blockOutput [ 0 ]) (first 1)
                  Adapter.save folder config "sha256:base" spec (Reft.init spec config (Rng.ofSeed 9L))

                  Expect.throwsC (fun () -> Adapter.load Registry.standard None config folder |> ignore) (fun e ->
                      Expect.stringContains e.Message "'tanh-shift' is not registered" "message"))
          }
          test "parameters that are not finite are not saved, and the old adapter stays" {
              Golden.inTemporaryFolder (fun folder ->
                  let spec = specs.Head
                  let theta = Reft.init spec config (Rng.ofSeed 9L)
                  Adapter.save folder config "sha256:base" spec theta
                  let before = File.ReadAllBytes(Path.Combine(folder, "reft.safetensors"))
                  let broken = theta |> Parameters.map (fun t -> t * nanf)
                  Expect.throws (fun () -> Adapter.save folder config "sha256:base" spec broken) "refused"
                  Expect.equal (File.ReadAllBytes(Path.Combine(folder, "reft.safetensors"))) before "old file"
                  Expect.equal (Directory.GetFiles folder).Length 2 "no temporary file")
          } ]
