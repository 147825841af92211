module Reft.Core.Tests.Reft.AttachTests

open Expecto
open TorchSharp
open Reft.Core
open Reft.Core.Syntax
open Reft.Core.Tests.TinyModel

let private constantShift (value: float32) =
    Intervention.define "shift" (fun _ _ -> Parameters.empty) (fun _ _ h -> torch.full_like (h, value.ToScalar()))

let private residual (spec: ReftSpec) (padding: PaddingSide) (examples: Example list) (model: Transformer) =
    use _ = torch.no_grad ()
    let batch = Batch.create padding examples
    let context = model |> Transformer.context None 0 batch.Columns batch.Spans
    let theta = Reft.init spec model.Config (Rng.ofSeed 5L)

    batch,
    model
    |> Reft.attach spec theta context
    |> Transformer.residual context (Batch.ids model.Device batch)

/// The residual of each row's own tokens, whatever the padding.
let private rowsOf (batch: Batch, hidden: Tensor) =
    batch.Spans
    |> Array.mapi (fun row span -> hidden[int64 row].narrow(0L, int64 (span.Column 0), int64 span.Length))

let private refuses text (body: unit -> unit) =
    Expect.throwsC body (fun e -> Expect.stringContains e.Message text "message")

[<Tests>]
let tests =
    testList
        "Attach"
        [ test "an edit changes its own rows and no earlier ones" {
              scoped (fun () ->
                  let model = create torch.float32 1L
                  let rows = examples 2L 3 [ 9; 7 ]
                  let spec = constantShift 1.0f |> at (blockOutput [ 2 ]) (last 2)
                  let _, plain = residual [] PaddingSide.Right rows model
                  let _, edited = residual spec PaddingSide.Right rows model
                  // The last block's output is the residual itself: prompts of 6 and 4 tokens, their last two shifted by 1.
                  let difference = edited - plain

                  for row, prompt, length in [ 0, 6, 9; 1, 4, 7 ] do
                      for token in 0 .. length - 1 do
                          let expected = if token >= prompt - 2 && token < prompt then 1.0f else 0.0f
                          let found = difference[int64 row, int64 token].mean().item<float32>()
                          Expect.floatClose Accuracy.medium (float found) (float expected) $"row {row} token {token}")
          }
          test "both paddings give the same rows, with and without edits" {
              scoped (fun () ->
                  let model = create torch.float32 1L
                  let rows = examples 2L 2 [ 9; 4; 6 ]
                  let spec = loreft 2 |> at (blockOutput [ 0; 1 ] @ query [ 2 ]) (first 2 + last 2)

                  for spec in [ []; spec ] do
                      let right = residual spec PaddingSide.Right rows model |> rowsOf
                      let left = residual spec PaddingSide.Left rows model |> rowsOf

                      for a, b in Array.zip right left do
                          Expect.isLessThan (relative a b) 1e-5 "right and left")
          }
          test "every component can be edited, and some heads of those that have heads" {
              scoped (fun () ->
                  let model = create torch.float32 1L
                  let rows = examples 2L 2 [ 9 ]
                  let _, plain = residual [] PaddingSide.Right rows model

                  let sites =
                      [ yield! Component.names |> List.map (fun (place, _) -> Site.create 1 place)
                        Site.create 1 Component.Query |> Site.heads 1 2
                        Site.create 1 Component.Key |> Site.heads 1 1
                        Site.create 1 Component.AttentionValue |> Site.heads 3 1 ]

                  for site in sites do
                      let _, edited =
                          residual (loreft 2 |> at [ site ] (first 3)) PaddingSide.Right rows model

                      Expect.isGreaterThan (relative edited plain) 1e-4 (string site)
                      Expect.equal (Site.parse (string site)) site "the site's name reads back")
          }
          test "an edit of some heads leaves the other heads alone" {
              scoped (fun () ->
                  let model = create torch.float32 1L
                  let rows = examples 2L 2 [ 6 ]
                  let mutable seen: Tensor list = []

                  let watch (model: Transformer) =
                      { model with
                          Taps =
                              model.Taps
                              |> Array.mapi (fun layer tap place h ->
                                  let h = tap place h

                                  if layer = 1 && place = Component.AttentionValue then
                                      seen <- h.detach().clone().DetachFromDisposeScope() :: seen

                                  h) }

                  let run spec =
                      let batch = Batch.create PaddingSide.Right rows
                      let context = model |> Transformer.context None 0 batch.Columns batch.Spans

                      model
                      |> Reft.attach spec (Reft.init spec config (Rng.ofSeed 5L)) context
                      |> watch
                      |> Transformer.residual context (Batch.ids torch.CPU batch)
                      |> ignore

                  let site = Site.create 1 Component.AttentionValue |> Site.heads 1 2
                  run []
                  run (constantShift 2.0f |> at [ site ] all)

                  match seen with
                  | [ edited; plain ] ->
                      let change = (edited - plain).select(1L, 0L).reshape -1L

                      Expect.equal
                          (change.data<float32>().ToArray())
                          (Array.init 16 (fun i -> if i >= 4 && i < 12 then 2.0f else 0.0f))
                          "heads 1 and 2"
                  | other -> failtest $"expected two runs, found {other.Length}")
          }
          test "attachments stack: the later one sees the earlier one's edit" {
              scoped (fun () ->
                  let model = create torch.float32 1L
                  let batch = examples 2L 2 [ 6 ] |> Batch.create PaddingSide.Right
                  let context = model |> Transformer.context None 0 batch.Columns batch.Spans
                  let ids = Batch.ids torch.CPU batch
                  let spec = loreft 2 |> at (blockOutput [ 1 ]) (first 2) |> tied

                  let a, b =
                      Reft.init spec config (Rng.ofSeed 1L), Reft.init spec config (Rng.ofSeed 2L)

                  let chain = (loreft 2 >=> loreft 2) |> at (blockOutput [ 1 ]) (first 2) |> tied
                  let site = "layers.1.block_output"

                  let both =
                      [ a.Sub site |> Parameters.prefixed "0"; b.Sub site |> Parameters.prefixed "1" ]
                      |> Parameters.concat
                      |> Parameters.prefixed site

                  let stacked =
                      model
                      |> Reft.attach spec a context
                      |> Reft.attach spec b context
                      |> Transformer.residual context ids

                  let chained =
                      model |> Reft.attach chain both context |> Transformer.residual context ids

                  Expect.isLessThan (relative stacked chained) 1e-6 "attach twice = >=>")
          }
          test "padding that a custom function turns into NaN never reaches a row or a gradient" {
              scoped (fun () ->
                  let model = create torch.float32 1L
                  let rows = examples 2L 2 [ 9; 4 ]

                  // 0/0 at a row of zeros, as a padded row could be.
                  let normalised =
                      Intervention.define
                          "normalised"
                          (fun width rng -> Parameters.ofSeq [ "v", Rng.normal [ int64 width ] rng ])
                          (fun theta _ h -> theta["v"] * h / h.norm (1, true, 2.0f) - h)

                  for padding in [ PaddingSide.Left; PaddingSide.Right ] do
                      let batch = Batch.create padding rows
                      // Embeddings of id 0, the padding, are all zero.
                      let zeroed =
                          { model with
                              Embed =
                                  fun context ids ->
                                      model.Embed context ids
                                      * ids.ne(0L.ToScalar()).unsqueeze(-1L).``to`` torch.float32 }

                      let spec = normalised |> at (blockInput [ 0 ]) all
                      let theta = Reft.init spec config (Rng.ofSeed 5L)

                      let gradient =
                          dsharp.grad (Loss.reft spec zeroed batch |> Loss.ofVector theta) theta.Vector

                      Expect.isTrue (gradient.isfinite().all().item<bool>()) $"finite under {padding}")
          }
          test "in bf16 a row without an edit keeps its bits, and an edit is rounded once" {
              scoped (fun () ->
                  let model = create torch.bfloat16 1L
                  let rows = examples 2L 2 [ 6 ]
                  let spec = constantShift 0.0f |> at (blockOutput [ 2 ]) all
                  let _, plain = residual [] PaddingSide.Right rows model
                  let _, edited = residual spec PaddingSide.Right rows model
                  Expect.isTrue (plain.equal(edited).all().item<bool>()) "h + 0 = h")
          }
          test "what a spec cannot do on a model is refused with the reason" {
              scoped (fun () ->
                  let check spec = ReftSpec.validate config spec

                  refuses "expected a layer of 0 … 2, found 7" (fun () ->
                      check (loreft 2 |> at (blockOutput [ 7 ]) all))

                  refuses "expected heads of 0 … 1" (fun () -> check (loreft 2 |> at (value [ 0 ] |> heads 1 2) all))

                  refuses "rank of 1 … 16, found 17" (fun () ->
                      Reft.init (loreft 17 |> at (blockOutput [ 0 ]) all) config (Rng.ofSeed 0L)
                      |> ignore)

                  refuses "must not overlap" (fun () ->
                      check (
                          (loreft 2 |> at (blockOutput [ 1 ]) (first 3))
                          @ (loreft 2 |> at (blockOutput [ 1 ]) (first 1))
                      ))

                  refuses "last tokens are known only in the prompt" (fun () ->
                      check (loreft 2 |> at (blockOutput [ 0 ]) (last 1) |> ReftSpec.during Phase.Always)))
          }
          test "edits that meet only in a short prompt are refused with the row and the column" {
              scoped (fun () ->
                  let model = create torch.float32 1L

                  let spec =
                      (loreft 2 |> at (blockOutput [ 1 ]) (first 3))
                      @ (loreft 2 |> at (blockOutput [ 1 ]) (last 3))

                  ReftSpec.validate config spec
                  residual spec PaddingSide.Right (examples 2L 2 [ 9 ]) model |> ignore

                  refuses "row 1, column 2" (fun () ->
                      residual spec PaddingSide.Right (examples 2L 2 [ 9; 6 ]) model |> ignore))
          }
          test "parameters that do not fit the spec are refused by name, with what was expected" {
              scoped (fun () ->
                  let model = create torch.float32 1L
                  let batch = examples 2L 2 [ 9 ] |> Batch.create PaddingSide.Right
                  let context = Batch.context model batch
                  let spec = loreft 2 |> at (blockOutput [ 1 ]) (first 1 + last 1)
                  let theta = Reft.init spec config (Rng.ofSeed 1L)

                  let attach theta () =
                      Reft.attach spec theta context model |> ignore

                  let bind theta () =
                      (Reft.bind spec theta :> System.IDisposable).Dispose()

                  let without name =
                      Parameters(theta.Entries |> Seq.filter (fun p -> p.Name <> name))

                  let changed name value =
                      Parameters(
                          theta.Entries
                          |> Seq.map (fun p -> if p.Name = name then { p with Value = value } else p)
                      )

                  let bias = "layers.1.block_output.suffix.bias"
                  attach theta ()
                  bind theta ()
                  refuses $"{bias}: expected [2], found none of that name" (attach (without bias))

                  refuses
                      "layers.1.block_output.suffix do not fit loreft(rank=2): there is no parameter 'bias'"
                      (bind (without bias))

                  refuses $"{bias}: expected [2], found [3]" (attach (changed bias (torch.zeros 3L)))
                  refuses "expected [16, 2], found none" (attach (Reft.init (tied spec) config (Rng.ofSeed 1L)))

                  refuses
                      $"{bias} [2]: expected finite numbers, found 1"
                      (bind (changed bias (torch.tensor [| 1.0f; nanf |])))

                  // A width that only the model knows is found wrong when the spec is attached to it.
                  let wider = Reft.init spec { config with Hidden = 20 } (Rng.ofSeed 1L)
                  refuses "expected [16, 2], found [20, 2]" (attach wider)
                  use bound = Reft.bind spec wider
                  refuses "expected [16, 2], found [20, 2]" (fun () -> Reft.attachBound bound context model |> ignore)

                  let mismatched =
                      changed "layers.1.block_output.prefix.weight" (torch.zeros [| 3L; 16L |])

                  refuses "layers.1.block_output.prefix.weight [3, 16]" (bind mismatched))
          } ]
