module Reft.Core.Tests.Files.PyreftAdapterTests

open System
open System.IO
open System.Text.Json.Nodes
open Expecto
open FsCheck
open TorchSharp
open Reft.Core
open Reft.Core.Syntax
open Reft.Core.Tests
open Reft.Core.Tests.TinyModel

let private llama = Golden.path [ "a_models"; "llama"; "model" ]
let private saved case = Golden.path [ "e_saved"; case ]

/// The positions of the run that a saved adapter comes from: slots that a short prompt leaves over point at the next token.
let private nextToken first last =
    Positions.Pyreft
        { First = first
          Last = last
          Padding = PyreftPadding.NextToken }

let private options = PyreftAdapter.options (first 2 + last 2)
let private theirs = PyreftAdapter.options (nextToken 2 2)

let private copyTo (folder: string) (source: string) =
    for path in Directory.GetFiles source do
        File.Copy(path, Path.Combine(folder, Path.GetFileName path |> string), true)

/// The loss and the logits of the golden run's first batch. A sink token before each row served pyreft's index arithmetic.
let private lossAfter (sink: bool) case (adapter: Adapter) (model: Transformer) =
    let rows =
        JsonValue.read 10_000_000 (Golden.path [ "d_e2e"; case; "dataset.json" ])
        |> JsonValue.items
        |> List.truncate 4
        |> List.map (fun row ->
            let ints key =
                row
                |> JsonValue.field key
                |> JsonValue.items
                |> List.map (JsonValue.int -100 100_000)
                |> List.toArray

            let own = if sink then Array.tail else id
            Example.ofLabels None (own (ints "input_ids")) (own (ints "labels")))

    let batch = Batch.create PaddingSide.Right rows
    let context = model |> Transformer.context None 0 batch.Columns batch.Spans
    let attached = model |> Reft.attach adapter.Spec adapter.Parameters context

    Trainer.evaluate (Loss.reft adapter.Spec model) adapter.Parameters [ batch ],
    attached |> Transformer.logits context (Batch.ids model.Device batch)

let private columnsOf (adapter: Adapter) =
    [ for p in adapter.Parameters.Entries do
          if p.Name.EndsWith ".rotation" then
              p.Name, Orthonormal.qr.Apply(Parameters.ofSeq [ "rotation", p.Value ]) ]

let private expectOrthonormal (columns: (string * Tensor) list) =
    for name, r in columns do
        let gram = torch.mm (r.t (), r)
        let error = (gram - torch.eye gram.shape[0]).abs().max().item<float32>()
        Expect.isLessThan error 1e-5f $"{name}: |RᵀR − I|"

let private likePyreft case =
    scoped (fun () ->
        use loaded = Checkpoint.load llama

        use adapter =
            PyreftAdapter.load theirs loaded.Fingerprint loaded.Config (saved case)

        let golden = Golden.tensors [ "d_e2e"; case; "tensors.safetensors" ]
        let loss, logits = lossAfter false case adapter loaded.Model

        Expect.floatClose
            { absolute = 0.0; relative = 1e-5 }
            loss
            (float (golden["after.loss_batch0"].item<float32>()))
            "the loss after training"

        match golden.TryFind "after.logits_batch0" with
        | Some expected ->
            let mask = golden["batch0.attention_mask"].unsqueeze(-1L).``to`` torch.float32
            Golden.expectClose 1e-4 (expected * mask) (logits * mask) "the logits after training"
        | None -> ()

        expectOrthonormal (columnsOf adapter))

/// One of pyreft's adapters under other names: those that pyvene wrote before 0.1.7.
let private oldStyle (folder: string) (case: string) =
    copyTo folder (saved case)
    let path = Path.Combine(folder, "config.json")

    let older (text: string) =
        [ for layer in [ 1; 3 ] ->
              $"layer_{layer}_comp_block_output_unit_pos_nunit_1", $"layer.{layer}.comp.block_output.unit.pos.nunit.1" ]
        |> List.fold (fun (text: string) (now, before) -> text.Replace(now, before)) text

    File.WriteAllText(path, File.ReadAllText path |> older)

    for path in Directory.GetFiles(folder, "*.bin") do
        File.Move(path, Path.Combine(folder, Path.GetFileName path |> string |> older))

let private same (a: Parameters) (b: Parameters) =
    Expect.equal a.Names b.Names "names"

    for p, q in Seq.zip a.Entries b.Entries do
        Expect.equal p.Role q.Role $"role of {p.Name}"
        Golden.expectClose 1e-6 p.Value q.Value p.Name

/// Each class with what pyreft's own state dict of the golden runs holds, and their last loss.
let private classes =
    [ "loreft_share_module"
      "noreft_share"
      "consreft_share"
      "lobireft_share"
      "direft_share"
      "nodireft_share" ]

/// A folder as pyreft would have saved the golden run, from its state dicts.
let private folderOf (folder: string) case =
    let readme = JsonValue.read 1_000_000 (Golden.path [ "d_e2e"; case; "README.json" ])
    let golden = Golden.tensors [ "d_e2e"; case; "tensors.safetensors" ]
    let cls = readme |> JsonValue.field "cls" |> JsonValue.string

    for key in
        readme
        |> JsonValue.field "intervention_keys"
        |> JsonValue.items
        |> List.map JsonValue.string do
        let start = $"final.{key}.state_dict."

        let tensors =
            [ for KeyValue(name, tensor) in golden do
                  if name.StartsWith(start, StringComparison.Ordinal) then
                      name.Substring start.Length, tensor ]

        TorchFile.write (Path.Combine(folder, $"intkey_{key}.bin")) tensors

    let config =
        File.ReadAllText(Path.Combine(saved "loreft_share_module", "config.json")).Replace("LoreftIntervention", cls)

    File.WriteAllText(Path.Combine(folder, "config.json"), config)
    readme

let private specs: (string * ReftSpec) list =
    [ "loreft, tied", loreft 3 |> at (blockOutput [ 0; 2 ]) (first 2 + last 2) |> tied
      "loreft, untied", loreft 3 |> at (blockOutput [ 0; 2 ]) (first 2 + last 2)
      "noreft with bias",
      Noreft.create { Noreft.options 2 with Bias = true }
      |> at (mlpOutput [ 1 ]) (first 1)
      "consreft", consreft 2 |> at (blockInput [ 1 ]) (last 1)
      "lobireft", lobireft 2 |> at (attentionOutput [ 1; 2 ]) (first 1 + last 1) |> tied
      "direft_orthonormal", direftOrthonormal 4 |> at (mlpGate [ 0 ]) (first 1 + last 3)
      "direft_paper", direftPaper 2 |> at (query [ 0 ]) (last 1)
      "full rank", direftOrthonormal 16 |> at (blockOutput [ 0 ]) (last 1)
      "torch's map",
      Loreft.create
          { Loreft.options 3 with
              Orthonormal = Orthonormal.householder }
      |> at (blockOutput [ 1 ]) (first 1) ]

/// The edit of random rows, by which two adapters of different maps are compared.
let private edits (spec: ReftSpec) (theta: Parameters) =
    [ for placement, owners in List.zip spec (ReftSpec.parameterNames spec) do
          for owner in owners do
              let h = Rng.normal [ 5L; int64 (config.Width placement.Site) ] (Rng.ofSeed 3L)
              Intervention.apply (Context.ofRows [||]) h (placement.What.Bind(theta.Sub owner)) ]

let private refuses (fragments: string list) (change: string -> unit) =
    Golden.inTemporaryFolder (fun folder ->
        copyTo folder (saved "loreft_noshare_module")
        change folder
        use loaded = Checkpoint.load llama

        Golden.throwsWith<IOException> fragments (fun () ->
            try
                PyreftAdapter.load options "sha256:base" loaded.Config folder |> ignore
            with :? InvalidDataException as e ->
                raise (IOException(e.Message, e))))

let private editConfig (change: JsonObject -> unit) (folder: string) =
    let path = Path.Combine(folder, "config.json")

    match JsonNode.Parse(File.ReadAllText path) with
    | :? JsonObject as root ->
        change root
        File.WriteAllText(path, root.ToJsonString())
    | _ -> failtest "config.json is an object"

let private set (key: string) (value: obj) (root: JsonObject) =
    root[key] <- System.Text.Json.JsonSerializer.SerializeToNode value

let private setField (key: string) (item: int) (field: int) (value: obj) (root: JsonObject) =
    let value = System.Text.Json.JsonSerializer.SerializeToNode value

    match root[key] with
    | :? JsonArray as items ->
        match items[item] with
        | :? JsonArray as fields -> fields[field] <- value
        | _ -> items[item] <- value
    | _ -> failtestf "no list %s" key

let private firstBin = "intkey_layer_1_comp_block_output_unit_pos_nunit_1#0.bin"

let private rewrite (change: Map<string, Tensor> -> Map<string, Tensor>) (folder: string) =
    let path = Path.Combine(folder, firstBin)
    TorchFile.readAll path |> change |> Map.toList |> TorchFile.write path

[<Tests>]
let tests =
    testList
        "pyreft's adapters"
        [ for case in [ "loreft_share_module"; "loreft_noshare_module" ] do
              test $"{case}: acts as in pyreft" { likePyreft case }

              test $"{case}: saved again, pyreft's configuration and parameters" {
                  Golden.inTemporaryFolder (fun folder ->
                      use loaded = Checkpoint.load llama

                      use adapter =
                          PyreftAdapter.load options loaded.Fingerprint loaded.Config (saved case)

                      PyreftAdapter.save folder loaded.Config adapter.Spec adapter.Parameters

                      let names folder pattern =
                          Directory.GetFiles(folder, pattern)
                          |> Array.map (Path.GetFileName >> string)
                          |> Array.sort

                      Expect.equal
                          (names folder "*")
                          (names (saved case) "*"
                           |> Array.filter (fun name -> name = "config.json" || name.EndsWith ".bin"))
                          "files"

                      let fields folder =
                          JsonValue.read 1_000_000 (Path.Combine(folder, "config.json"))
                          |> JsonValue.fields
                          |> List.filter (fun (key, _) -> key <> "transformers_version") // which we are not
                          |> List.map (fun (key, value) ->
                              key, String.filter (Char.IsWhiteSpace >> not) (value.Element.GetRawText()))

                      Expect.equal (fields folder) (fields (saved case)) "config.json, field by field"

                      for name in names folder "*.bin" do
                          let ours = TorchFile.readAll (Path.Combine(folder, name))
                          let theirs = TorchFile.readAll (Path.Combine(saved case, name))
                          Expect.equal (List.ofSeq (Map.keys ours)) (List.ofSeq (Map.keys theirs)) name

                          for KeyValue(key, tensor) in theirs do
                              Golden.expectClose 1e-6 tensor ours[key] $"{name}: {key}")
              }

              test $"{case}: under pyvene's older names, the same adapter" {
                  Golden.inTemporaryFolder (fun folder ->
                      oldStyle folder case
                      use loaded = Checkpoint.load llama
                      use expected = PyreftAdapter.load options "" loaded.Config (saved case)
                      use found = PyreftAdapter.load options "" loaded.Config folder
                      same expected.Parameters found.Parameters)
              }

          test "without the names of files changed, an older configuration still finds them" {
              Golden.inTemporaryFolder (fun folder ->
                  oldStyle folder "loreft_share_module"
                  copyTo folder (saved "loreft_share_module")
                  Directory.GetFiles(folder, "intkey_layer.*") |> Array.iter File.Delete
                  use loaded = Checkpoint.load llama
                  use adapter = PyreftAdapter.load options "" loaded.Config folder
                  Expect.equal adapter.Spec.Length 2 "placements")
          }
          for case in classes do
              test $"{case}: the class loads and acts as in pyreft" {
                  Golden.inTemporaryFolder (fun folder ->
                      let readme = folderOf folder case
                      use loaded = Checkpoint.load llama

                      let activation =
                          match readme |> JsonValue.field "intervention_kwargs" |> JsonValue.tryField "act_fn" with
                          | Some name -> Activation.ofName (JsonValue.string name)
                          | None -> Activation.linear

                      let struct (first, last) =
                          readme
                          |> JsonValue.field "positions"
                          |> JsonValue.string
                          |> PyreftPositions.parsePositions

                      let api = readme |> JsonValue.field "dataset_api" |> JsonValue.string
                      let sink = api.Contains "pad_mode=first"

                      let options =
                          { PyreftAdapter.options (
                                if sink then
                                    Syntax.first first + Syntax.last last
                                else
                                    nextToken first last
                            ) with
                              Activation = activation }

                      use adapter = PyreftAdapter.load options loaded.Fingerprint loaded.Config folder
                      let golden = Golden.tensors [ "d_e2e"; case; "tensors.safetensors" ]
                      let loss, _ = lossAfter sink case adapter loaded.Model

                      Expect.floatClose
                          { absolute = 0.0; relative = 1e-5 }
                          loss
                          (float (golden["after.loss_batch0"].item<float32>()))
                          "the loss after training"

                      expectOrthonormal (columnsOf adapter))
              }

          for name, spec in specs do
              test $"save then load keeps the edits: {name}" {
                  Golden.inTemporaryFolder (fun folder ->
                      let theta = Reft.init spec config (Rng.ofSeed 4L)
                      PyreftAdapter.save folder config spec theta
                      Expect.isTrue (PyreftAdapter.exists folder) "it looks like one"

                      use adapter =
                          PyreftAdapter.load (PyreftAdapter.options spec.Head.Where) "" config folder

                      Expect.equal
                          (adapter.Spec |> List.map (fun p -> p.Site, p.Where))
                          (spec |> List.map (fun p -> p.Site, p.Where))
                          "places"

                      if name <> "torch's map" then
                          same theta adapter.Parameters

                      for expected, found in List.zip (edits spec theta) (edits adapter.Spec adapter.Parameters) do
                          Golden.expectClose 1e-6 expected found "edit"

                      // What torch computes from the files' own parametrization.
                      for path in Directory.GetFiles(folder, "*.bin") do
                          let tensors = TorchFile.readAll path

                          match tensors.TryFind "rotate_layer.parametrizations.weight.0.base" with
                          | Some basis ->
                              let square = torch.mm (basis, basis.t ())
                              Golden.expectClose 1e-5 (torch.eye basis.shape[0]) square "torch's base is orthogonal"
                          | None -> ())
              }

          test "trained further, R stays orthonormal, and the adapter is saved as ours" {
              Golden.inTemporaryFolder (fun folder ->
                  use loaded = Checkpoint.load llama

                  use adapter =
                      PyreftAdapter.load options loaded.Fingerprint loaded.Config (saved "loreft_share_module")

                  let rows =
                      [ for seed in 1L .. 4L do
                            let ids =
                                Rng.permutation 200 (Rng.ofSeed seed) |> Array.truncate 12 |> Array.map ((+) 3)

                            Example.ofCompletion ids[..7] ids[8..] ]

                  let batches = Seq.replicate 10 (Batch.create PaddingSide.Right rows)
                  let state = adapter.Parameters |> TrainState.create (Rng.ofSeed 0L)
                  let mutable last = state
                  let losses = ResizeArray<float>()

                  for report, next in
                      Trainer.steps (Trainer.options 5e-3) (Loss.reft adapter.Spec loaded.Model) state batches do
                      losses.Add report.Loss
                      last <- next

                  Expect.isLessThan losses[9] losses[0] "it learns"

                  use trained =
                      new Adapter(
                          adapter.Spec,
                          Parameters.keep last.Parameters,
                          None,
                          None,
                          "llama",
                          loaded.Fingerprint,
                          "0"
                      )

                  expectOrthonormal (columnsOf trained)
                  Adapter.save folder loaded.Config loaded.Fingerprint trained.Spec trained.Parameters

                  use again =
                      Adapter.load Registry.standard (Some loaded.Fingerprint) loaded.Config folder

                  same trained.Parameters again.Parameters)
          }
          test "where pyreft lost the orthonormality, the same edit with an orthonormal R" {
              scoped (fun () ->
                  let width, rank = 16L, 3L

                  let draw i shape =
                      Rng.normal shape (Rng.fork i (Rng.ofSeed 8L))
                  // Columns that are neither orthogonal nor of length 1.
                  let r = draw 0 [ width; rank ] * 0.4f
                  let w, b = draw 1 [ rank; width ], draw 2 [ rank ]
                  let h = draw 3 [ 6L; width ]
                  let linear = torch.nn.functional.linear (h, w, b)

                  let edited cls tensors =
                      let what, theta = PyreftClass.import "a.bin" cls "linear" 16 (Map tensors)
                      Intervention.apply (Context.ofRows [||]) h (what.Bind theta)

                  let basis = torch.cat (ResizeArray [ r; draw 4 [ width; width - rank ] ], 1L)

                  let parametrized =
                      [ "rotate_layer.parametrizations.weight.original", -(torch.eye (width, rank))
                        "rotate_layer.parametrizations.weight.0.base", basis ]

                  Golden.expectClose
                      1e-5
                      (h + torch.mm (linear - torch.mm (h, r), r.t ()))
                      (edited PyreftClass.Loreft [ "weight", w; "bias", b; "rotate_layer", r ])
                      "LoReFT"

                  Golden.expectClose
                      1e-5
                      (h + torch.mm (linear, r.t ()))
                      (edited
                          PyreftClass.Direft
                          ([ "learned_source.weight", w; "learned_source.bias", b ] @ parametrized))
                      "DiReFT"

                  Golden.expectClose
                      1e-5
                      (h + torch.mv (r, b))
                      (edited PyreftClass.Lobireft (("learned_source", b) :: parametrized))
                      "LobiReFT"

                  Golden.throwsWith<InvalidDataException> [ "a.bin"; "R is not orthonormal" ] (fun () ->
                      edited PyreftClass.Consreft (("learned_source", b) :: parametrized) |> ignore)

                  Golden.throwsWith<InvalidDataException> [ "a.bin"; "activation relu" ] (fun () ->
                      PyreftClass.import
                          "a.bin"
                          PyreftClass.Loreft
                          "relu"
                          16
                          (Map [ "weight", w; "bias", b; "rotate_layer", r ])
                      |> ignore))
          }
          test "parameters in bf16 are taken up in fp32" {
              Golden.inTemporaryFolder (fun folder ->
                  copyTo folder (saved "loreft_share_module")
                  rewrite (Map.map (fun name t -> if name = "weight" then t.``to`` torch.bfloat16 else t)) folder
                  use loaded = Checkpoint.load llama
                  use adapter = PyreftAdapter.load options "" loaded.Config folder

                  Expect.isTrue
                      (adapter.Parameters.Entries
                       |> Seq.forall (fun p -> p.Value.dtype = torch.float32))
                      "fp32")
          }
          test "dropout, activation and the rule for short prompts are the caller's" {
              scoped (fun () ->
                  use loaded = Checkpoint.load llama

                  let options =
                      { options with
                          Dropout = 0.1
                          ShortPrompt = ShortPrompt.Paper
                          Activation = Activation.ofName "gelu" }

                  use adapter =
                      PyreftAdapter.load options "" loaded.Config (saved "loreft_noshare_module")

                  for placement in adapter.Spec do
                      Expect.equal placement.ShortPrompt ShortPrompt.Paper "rule"
                      Expect.equal placement.Tie Tying.Groups "prefix and suffix apart"

                      Expect.equal
                          placement.What.Form
                          (Form.Dropout(
                              0.1,
                              true,
                              Form.Method("loreft", [ "rank", FormOption.Int 4; "activation", FormOption.Text "gelu" ])
                          ))
                          "method")
          }
          test "a damaged or foreign folder is refused with the file and the reason" {
              refuses [ "is not an adapter of pyreft's" ] (fun folder ->
                  File.Delete(Path.Combine(folder, "config.json")))

              refuses [ "are missing"; firstBin; "intkey_layer.1.comp" ] (fun folder ->
                  File.Delete(Path.Combine(folder, firstBin)))

              refuses [ "config.json"; "expected JSON" ] (fun folder ->
                  File.WriteAllText(Path.Combine(folder, "config.json"), "{"))

              refuses
                  [ "intervention_types[0]"; "LoreftIntervention" ]
                  (editConfig (setField "intervention_types" 0 0 "<class 'mine.Own'>"))

              refuses [ "intervention_types"; "4 items" ] (editConfig (set "intervention_types" [| 1 |]))
              refuses [ "representations"; "1 … 8192" ] (editConfig (set "representations" Array.empty<int>))
              refuses [ "mode"; "serial" ] (editConfig (set "mode" "serial"))
              refuses [ "representations[1][2]"; "unit pos" ] (editConfig (setField "representations" 1 2 "h.pos"))
              refuses [ "representations[1][3]" ] (editConfig (setField "representations" 1 3 2))

              refuses
                  [ "representations[1][9]"; "intervention_link_key" ]
                  (editConfig (setField "representations" 1 9 0))

              refuses [ "representations[1][1]"; "not a site" ] (editConfig (setField "representations" 1 1 "nowhere"))
              refuses [ "expected the rank 5"; "found 4"; firstBin ] (editConfig (setField "representations" 0 4 5))

              refuses
                  [ "sorted_keys[0]" ]
                  (editConfig (setField "sorted_keys" 0 0 "layer_9_comp_block_output_unit_pos_nunit_1#0"))

              refuses [ "expected the width 64"; "found 32" ] (editConfig (setField "intervention_dimensions" 0 0 32))

              refuses [ "the adapter does not fit the model"; "expected a layer of 0 … 3" ] (fun folder ->
                  let path = Path.Combine(folder, "config.json")
                  let text = File.ReadAllText path
                  let text = text.Replace("layer_3_", "layer_7_").Replace("      3,", "      7,")
                  File.WriteAllText(path, text))

              refuses [ firstBin; "expected a tensor 'bias'" ] (rewrite (Map.remove "bias"))
              refuses [ firstBin; "'extra' [1]" ] (rewrite (Map.add "extra" (torch.zeros 1L)))
              refuses [ firstBin; "not finite" ] (rewrite (Map.map (fun _ t -> t * nanf)))

              refuses
                  [ firstBin; "'weight'"; "[4, 64]"; "[4, 32]" ]
                  (rewrite (Map.add "weight" (torch.zeros (4L, 32L))))

              refuses [ firstBin; "'bias'"; "Int64" ] (rewrite (Map.add "bias" (torch.zeros (4L, dtype = torch.int64))))
              refuses [ firstBin; "rank of 1 … 64"; "found 65" ] (rewrite (Map.add "weight" (torch.zeros (65L, 64L))))

              refuses [ "pytorch_model.bin"; "'score.weight'" ] (fun folder ->
                  TorchFile.write (Path.Combine(folder, "pytorch_model.bin")) [ "score.weight", torch.zeros 3L ])

              // The table alone says so: nothing of what may be a whole model is loaded.
              refuses [ "pytorch_model.bin"; "1 tensors, 'score.weight'" ] (fun folder ->
                  TorchFileTests.archive
                      (Path.Combine(folder, "pytorch_model.bin"))
                      (PickleWriter.stateDict [ "score.weight", torch.ScalarType.Float32, [| 3L |] ])
                      [])

              refuses [ firstBin; "names os.system" ] (fun folder ->
                  TorchFileTests.archive
                      (Path.Combine(folder, firstBin))
                      (Array.append [| 0x80uy; 2uy |] "cos\nsystem\n."B)
                      [])

              refuses
                  [ "one intervention at each site, or two"; "3 at layers.1" ]
                  (editConfig (fun root ->
                      setField "representations" 3 0 1 root

                      setField "sorted_keys" 3 0 "layer_1_comp_block_output_unit_pos_nunit_1#2" root))
          }
          test "two interventions at each site need positions of two groups" {
              scoped (fun () ->
                  use loaded = Checkpoint.load llama

                  Golden.throwsWith<InvalidDataException> [ "positions such as f1+l1"; "found 'l1'" ] (fun () ->
                      PyreftAdapter.load
                          (PyreftAdapter.options (last 1))
                          ""
                          loaded.Config
                          (saved "loreft_noshare_module")
                      |> ignore))
          }
          test "the base model's weights that pyreft saves beside are no matter where there are none" {
              Golden.inTemporaryFolder (fun folder ->
                  copyTo folder (saved "loreft_share_module")
                  TorchFile.write (Path.Combine(folder, "pytorch_model.bin")) []
                  use loaded = Checkpoint.load llama
                  use adapter = PyreftAdapter.load options "" loaded.Config folder
                  Expect.equal adapter.Spec.Length 2 "placements")
          }
          test "what pyreft cannot hold is refused with the placement and the reason, and nothing is written" {
              let refuses (fragments: string list) (spec: ReftSpec) =
                  Golden.inTemporaryFolder (fun folder ->
                      let into = Path.Combine(folder, "out")
                      let theta = Reft.init spec config (Rng.ofSeed 1L)

                      Golden.throwsWith<ArgumentException> ("pyreft cannot hold" :: fragments) (fun () ->
                          PyreftAdapter.save into config spec theta)

                      Expect.isFalse (Directory.Exists into) "nothing written")

              let here what =
                  what |> at (blockOutput [ 1 ]) (first 1)

              refuses
                  [ "placement 1, at layers.1.block_output"; "no class for 0.5 * loreft(rank=2)" ]
                  (here (0.5 * loreft 2))

              refuses [ "no class for" ] (here (loreft 1 + loreft 1))
              refuses [ "no class for red" ] (here (Red.create))

              refuses
                  [ "activation"; "relu" ]
                  (here (
                      Loreft.create
                          { Loreft.options 1 with
                              Activation = Activation.ofName "relu" }
                  ))

              refuses [ "not 'all'" ] (loreft 1 |> at (blockOutput [ 1 ]) all)
              refuses [ "phase" ] (here (loreft 1) |> ReftSpec.during Phase.Always)
              refuses [ "each position" ] (here (loreft 1) |> ReftSpec.withTying Tying.EachPosition)
              refuses [ "share parameters"; "'both'" ] (here (loreft 1) |> ReftSpec.sharedAs "both")
              refuses [ "heads" ] (loreft 1 |> at (query [ 0 ] |> heads 1 2) (last 1))
              refuses [ "no name for the component mlp_activation" ] (loreft 1 |> at (mlpActivation [ 0 ]) (last 1))

              refuses
                  [ "not 2 at layers.1" ]
                  ((loreft 1 |> at (blockOutput [ 1 ]) (first 1))
                   @ (loreft 1 |> at (blockOutput [ 1 ]) (last 1)))

              refuses
                  [ "same positions" ]
                  ((loreft 1 |> at (blockOutput [ 0 ]) (first 1))
                   @ (loreft 1 |> at (blockOutput [ 1 ]) (last 1)))
          } ]
