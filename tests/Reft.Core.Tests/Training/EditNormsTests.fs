module Reft.Core.Tests.Training.EditNormsTests

open Expecto
open TorchSharp
open Reft.Core
open Reft.Core.Syntax
open Reft.Core.Tests
open Reft.Core.Tests.TinyModel

let private rows = examples 3L 2 [ 9; 6; 11 ]

let private batch = Batch.create PaddingSide.Right rows

/// Parameters away from their start, where the edits do something.
let private moved (spec: ReftSpec) =
    let theta = Reft.init spec config (Rng.ofSeed 4L)
    theta.OfVector(theta.Vector + Rng.normal [ theta.Vector.numel () ] (Rng.ofSeed 5L) * 0.5f)

/// The values of one site on the model as it is, for all tokens of the prompts.
let private collected site model =
    let context = Batch.context model batch

    model
    |> Reft.collect "run" [ site ] Positions.All context (Batch.ids torch.CPU batch)
    |> List.exactlyOne

[<Tests>]
let tests =
    testList
        "Edit norms"
        [ test "they are those of activations collected with and without the edit" {
              scoped (fun () ->
                  let model = create torch.float32 1L
                  let spec = loreft 2 |> at (blockOutput [ 1 ]) (first 2 + last 2)
                  let theta = moved spec
                  let found = EditNorms.measure (Tuned.reft spec model) theta batch
                  let site = Site.create 1 Component.BlockOutput
                  let attached = model |> Reft.attach spec theta (Batch.context model batch)
                  let before, after = collected site model, collected site attached

                  let expected =
                      [ for i in 0 .. before.Rows.Length - 1 do
                            let change = (after.Values[i] - before.Values[i]).norm().item<float32>()

                            if change > 0.0f then
                                (before.Rows[i], before.Tokens[i]),
                                (float change, float (before.Values[i].norm().item<float32>())) ]

                  Expect.equal
                      (found |> List.map (fun n -> n.Row, n.Token) |> List.sort)
                      (List.map fst expected)
                      "rows"

                  for norm in found do
                      let change, hidden =
                          expected |> List.find (fst >> (=) (norm.Row, norm.Token)) |> snd

                      Expect.isLessThan (abs (norm.Change - change)) (1e-5 * hidden) "‖Δ‖"
                      Expect.isLessThan (abs (norm.Hidden - hidden)) (1e-5 * hidden) "‖h‖"
                      Expect.equal norm.Ratio (norm.Change / norm.Hidden) "the ratio")
          }
          test "a placement sees the earlier layers' edits, and only its own change counts" {
              scoped (fun () ->
                  let model = create torch.float32 1L
                  let spec = loreft 2 |> at (blockOutput [ 0; 2 ]) (last 1)
                  let theta = moved spec
                  let found = EditNorms.measure (Tuned.reft spec model) theta batch
                  Expect.equal (found |> List.map _.Site.Layer) [ 0; 0; 0; 2; 2; 2 ] "layers"
                  let upper = spec |> List.filter (fun p -> p.Site.Layer = 2)
                  let lower = spec |> List.filter (fun p -> p.Site.Layer = 0)
                  // The lower one attached to the model beforehand is not measured.
                  let under =
                      { Tuned.reft upper model with
                          Model = fun _ -> model |> Reft.attach lower theta (Batch.context model batch) }

                  Expect.equal
                      (EditNorms.measure under theta batch |> List.map _.Change)
                      (found |> List.filter (fun n -> n.Site.Layer = 2) |> List.map _.Change)
                      "the upper layer's"

                  let alone = EditNorms.measure (Tuned.reft upper model) theta batch
                  Expect.notEqual (alone |> List.map _.Hidden) (found |> List.skip 3 |> List.map _.Hidden) "‖h‖ alone")
          }
          test "heads are measured alone, and noise and gradients stay out" {
              scoped (fun () ->
                  let model = create torch.float32 1L

                  let spec =
                      ReftSpec.place
                          [ Site.create 1 Component.AttentionValue |> Site.heads 1 2 ]
                          Positions.All
                          (Intervention.dropout 0.9 (loreft 2))

                  let theta = moved spec

                  let measured rng =
                      EditNorms.measure (Tuned.reft spec model) theta { batch with Random = rng }

                  Expect.equal (measured None) (measured (Some(Rng.ofSeed 1L))) "with a random state"

                  let whole =
                      collected (Site.create 1 Component.AttentionValue |> Site.heads 1 2) model

                  Expect.equal
                      (measured None |> List.map _.Hidden)
                      [ for i in 0 .. whole.Rows.Length - 1 -> float (whole.Values[i].norm().item<float32>()) ]
                      "‖h‖ of two heads")
          }
          testCase "an empty spec has no norms" (fun () ->
              scoped (fun () ->
                  let model = create torch.float32 1L
                  Expect.isEmpty (EditNorms.measure (Tuned.reft [] model) Parameters.empty batch) "norms"))
          testCase "positions are named from their end, and halves of a short prompt stay apart" (fun () ->
              let names where prompt tokens =
                  tokens |> List.map (EditNorms.position where prompt)

              let both = first 7 + last 7
              Expect.equal (names both 20 [ 0; 6; 13; 19 ]) [ "f1"; "f7"; "l7"; "l1" ] "a long prompt"
              Expect.equal (names both 5 [ 0; 1; 2; 4 ]) [ "f1"; "f2"; "f3"; "l1" ] "a short prompt"
              Expect.equal (names Positions.All 5 [ 0; 4; 6 ]) [ "t0"; "t4"; "+2" ] "all tokens")
          testPropertyWithConfig
              { FsCheckConfig.defaultConfig with
                  maxTest = 50 }
              "each edited row is measured once, whatever the prompts"
          <| fun (lengths: FsCheck.NonEmptyArray<FsCheck.PositiveInt>) ->
              scoped (fun () ->
                  let batch =
                      lengths.Get
                      |> Array.truncate 4
                      |> Array.map (fun n -> 3 + n.Get % 12)
                      |> Array.toList
                      |> examples 3L 2
                      |> Batch.create PaddingSide.Left

                  let model = create torch.float32 1L
                  let spec = loreft 1 |> at (blockOutput [ 1 ]) (first 3 + last 3)
                  let found = EditNorms.measure (Tuned.reft spec model) (moved spec) batch

                  Expect.equal
                      (found |> List.countBy _.Row |> List.sort)
                      [ for row, span in Seq.indexed batch.Spans -> row, min span.Prompt 6 ]
                      "rows"

                  Expect.equal
                      (found |> List.distinctBy (fun n -> n.Row, n.Position)).Length
                      found.Length
                      "names of a row") ]
