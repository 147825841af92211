module Reft.Core.Tests.Reft.CollectTests

open Expecto
open TorchSharp
open Reft.Core
open Reft.Core.Syntax
open Reft.Core.Tests
open Reft.Core.Tests.TinyModel

let private batchOf padding =
    examples 2L 3 [ 9; 5; 7 ] |> Batch.create padding

let private collect name sites where (batch: Batch) model =
    model
    |> Reft.collect name sites where (Batch.context model batch) (Batch.ids model.Device batch)

/// Every component of a layer as it is computed, by a tap of the test's own.
let private seen layer (batch: Batch) (model: Transformer) =
    let found = System.Collections.Generic.Dictionary<Component, Tensor>()

    let watching =
        { model with
            Taps =
                model.Taps
                |> Array.mapi (fun i tap place h ->
                    let h = tap place h

                    if i = layer then
                        found[place] <- h.clone().DetachFromDisposeScope()

                    h) }

    let context = Batch.context model batch

    watching
    |> Transformer.residual context (Batch.ids model.Device batch)
    |> ignore

    found

let private same (a: Tensor) (b: Tensor) = Golden.same a b

[<Tests>]
let tests =
    testList
        "Collect"
        [ test "it reads every component and head range as the model has it, in the order of the positions" {
              scoped (fun () ->
                  use _ = torch.no_grad ()

                  for dtype in [ torch.float32; torch.bfloat16 ] do
                      let model = create dtype 1L

                      for padding in [ PaddingSide.Right; PaddingSide.Left ] do
                          let batch = batchOf padding
                          let found = seen 1 batch model

                          let sites =
                              [ yield! Component.names |> List.map (fun (place, _) -> Site.create 1 place)
                                Site.create 1 Component.Query |> Site.heads 1 2
                                Site.create 1 Component.Value |> Site.heads 1 1 ]

                          let collected = collect "run" sites (first 1 + last 2) batch model
                          Expect.equal (collected |> List.map (fun a -> a.Site)) sites "one for each site"

                          for a in collected do
                              // The prompts have 6, 2 and 4 tokens; the last token comes first, and a short prompt is halved.
                              Expect.equal (List.ofArray a.Rows) [ 0; 0; 0; 1; 1; 2; 2; 2 ] "batch rows"
                              Expect.equal (List.ofArray a.Tokens) [ 0; 5; 4; 0; 1; 0; 3; 2 ] "tokens"
                              Expect.equal a.Name "run" "name"

                              let whole = found[a.Site.Component]

                              let whole =
                                  match a.Site.Heads with
                                  | None -> whole
                                  | Some range -> whole.narrow (2L, int64 range.First * 4L, int64 range.Count * 4L)

                              let expected =
                                  Array.map2
                                      (fun (row: int) (token: int) ->
                                          whole[int64 row, int64 (batch.Spans[row].Column token)])
                                      a.Rows
                                      a.Tokens

                              Expect.isTrue
                                  (same (torch.stack (ResizeArray expected, 0L)) a.Values)
                                  $"{a.Site}, {padding}, {dtype}")
          }
          test "its rows are those of a tied placement, in its order" {
              scoped (fun () ->
                  let model = create torch.float32 1L
                  let batch = batchOf PaddingSide.Left
                  let site = Site.create 1 Component.MlpOutput
                  let mutable rows: Tensor list = []

                  let watch =
                      Intervention.define "watch" (fun _ _ -> Parameters.empty) (fun _ _ h ->
                          rows <- h.clone().DetachFromDisposeScope() :: rows
                          torch.zeros_like h)

                  for where in [ all; every 2; first 2 + last 3; Positions.Explicit [ 3; 0 ] ] do
                      rows <- []
                      let spec = watch |> at [ site ] where |> tied
                      let context = Batch.context model batch

                      model
                      |> Reft.attach spec Parameters.empty context
                      |> Transformer.residual context (Batch.ids torch.CPU batch)
                      |> ignore

                      match rows, collect "run" [ site ] where batch model with
                      | [ edited ], [ collected ] -> Expect.isTrue (same edited collected.Values) (string where)
                      | _ -> failtest "one edit, one collection")
          }
          test "it sees the edits of attachments" {
              scoped (fun () ->
                  use _ = torch.no_grad ()
                  let model = create torch.float32 1L
                  let batch = batchOf PaddingSide.Right
                  let context = Batch.context model batch
                  let ids = Batch.ids torch.CPU batch
                  let spec = zeroOut |> at (blockOutput [ 1 ]) (first 2)
                  let sites = blockOutput [ 1 ] @ blockInput [ 2 ]

                  let edited =
                      model
                      |> Reft.attach spec Parameters.empty context
                      |> Reft.collect "run" sites (first 1) context ids

                  for a in edited do
                      Expect.isTrue (same (torch.zeros_like a.Values) a.Values) $"{a.Site} is edited")
          }
          test "it runs the layers that its sites need and no more" {
              scoped (fun () ->
                  use _ = torch.no_grad ()
                  let model = create torch.float32 1L
                  let mutable ran = Set.empty

                  let counted =
                      { model with
                          Blocks =
                              model.Blocks
                              |> Array.mapi (fun layer block tap context h ->
                                  ran <- ran.Add layer
                                  block tap context h) }

                  let expect sites layers =
                      ran <- Set.empty
                      collect "run" sites all (batchOf PaddingSide.Right) counted |> ignore
                      Expect.equal ran (Set.ofList layers) (sites |> List.map string |> String.concat ", ")

                  expect (blockInput [ 0 ]) []
                  expect (blockInput [ 1 ]) [ 0 ]
                  expect (blockOutput [ 0 ]) [ 0 ]
                  expect (query [ 1 ] @ blockInput [ 2 ]) [ 0; 1 ]
                  expect (query [ 1 ] @ blockInput [ 1 ]) [ 0; 1 ]
                  expect (key [ 2 ]) [ 0; 1; 2 ])
          }
          test "gradients flow through what it collects" {
              scoped (fun () ->
                  let model = create torch.float32 1L
                  let batch = batchOf PaddingSide.Left
                  let context = Batch.context model batch
                  let ids = Batch.ids torch.CPU batch
                  let spec = loreft 2 |> at (blockOutput [ 0 ]) (first 2 + last 2)
                  let theta = Reft.init spec config (Rng.ofSeed 5L)

                  let f (v: Tensor) =
                      let collected =
                          model
                          |> Reft.attach spec (theta.OfVector v) context
                          |> Reft.collect "run" (blockOutput [ 1 ]) (last 2) context ids

                      collected[0].Values.square().mean()

                  let v = theta.Vector
                  let gradient = dsharp.grad f v
                  let direction = gradient / gradient.norm ()
                  let step = 1e-2f
                  let value (t: Tensor) = (f t).item<float32>() |> float

                  let slope =
                      (value (v + direction * step) - value (v - direction * step))
                      / (2.0 * float step)

                  let norm = gradient.norm().item<float32>() |> float
                  Expect.isGreaterThan norm 1e-3 "there is a gradient"
                  Expect.isLessThan (abs (slope - norm) / norm) 1e-2 "it is the slope")
          }
          test "under other phases it reads the tokens after the prompt" {
              scoped (fun () ->
                  use _ = torch.no_grad ()
                  let model = create torch.float32 1L
                  let batch = batchOf PaddingSide.Left
                  let context = Batch.context model batch
                  let ids = Batch.ids torch.CPU batch

                  let tokens phase where =
                      (model
                       |> Reft.collectDuring phase "run" (blockOutput [ 0 ]) where context ids
                       |> List.head)
                          .Tokens
                      |> List.ofArray

                  Expect.equal (tokens Phase.Decode (first 2)) [ 6; 7; 2; 3; 4; 5 ] "decode"
                  Expect.equal (tokens (Phase.DecodeSteps(1, 1)) all) [ 7; 3; 5 ] "one step"
                  Expect.equal (tokens Phase.Always (Positions.Explicit [ 3; 0 ])) [ 0; 3; 0; 3; 0; 3 ] "always"

                  Expect.throwsT<System.ArgumentException>
                      (fun () -> tokens Phase.Decode (last 1) |> ignore)
                      "last outside the prompt")
          }
          test "it leaves nothing behind but its result" {
              Native.load ()
              let model = create torch.float32 1L

              let run () =
                  scoped (fun () ->
                      collect "run" (blockOutput [ 0; 1 ] @ query [ 2 ]) all (batchOf PaddingSide.Left) model
                      |> ignore)

              run ()
              let before = Golden.liveTensors ()

              for _ in 1..50 do
                  run ()

              Expect.equal Tensor.TotalCount before "live tensors"
          }
          test "sites and positions that mean nothing are refused" {
              scoped (fun () ->
                  let model = create torch.float32 1L
                  let batch = batchOf PaddingSide.Right

                  let refuses text sites where =
                      Golden.throwsWith<System.ArgumentException> [ text ] (fun () ->
                          collect "run" sites where batch model |> ignore)

                  refuses "expected a layer of 0 … 2, found 3" (blockOutput [ 3 ]) all
                  refuses "expected heads of 0 … 1" (value [ 0 ] |> heads 1 2) all
                  refuses "each site once" (blockOutput [ 0; 0 ]) all
                  refuses "expected a count" (blockOutput [ 0 ]) (first 0)
                  Expect.equal (collect "run" [] all batch model).Length 0 "no site, no activations")
          } ]
