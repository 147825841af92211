module Reft.Core.Tests.Reft.PyreftSlotsTests

open System.Text.Json
open System.IO
open Expecto
open TorchSharp
open Reft.Core
open Reft.Core.Syntax
open Reft.Core.Tests
open Reft.Core.Tests.TinyModel

/// One token of prompt: pyreft halves it to none, and every slot is left over and points at token 1.
let private batch = examples 4L 5 [ 6 ] |> Batch.create PaddingSide.Right

let private slots first last =
    Positions.Pyreft
        { First = first
          Last = last
          Padding = PyreftPadding.NextToken }

let private lossAndGradient spec (theta: Parameters) =
    let loss v =
        Loss.reft spec (create torch.float32 1L) batch (theta.OfVector v)

    (loss theta.Vector).item<float32>() |> float, dsharp.grad loss theta.Vector

/// The gradients that the real pyvene found for one, two and three slots at the same token.
let private quirks =
    lazy
        (use json = JsonDocument.Parse(File.ReadAllText(Golden.path [ "quirks.json" ]))

         let read (name: string) (field: string) =
             json.RootElement.GetProperty(name).GetProperty(field).GetDouble()

         [ "dup_[3]"; "dup_[3, 3]"; "dup_[3, 3, 3]" ]
         |> List.map (fun name -> read name "loss", read name "autograd"))

[<Tests>]
let tests =
    testList
        "Slots of pyreft"
        [ test "slots at one token are written once, and each counts in the gradient, as in pyvene" {
              scoped (fun () ->
                  let spec count =
                      loreft 2 |> at (blockOutput [ 1 ]) (slots count 0)

                  let theta = Reft.init (spec 1) config (Rng.ofSeed 3L)
                  let loss, gradient = lossAndGradient (spec 1) theta
                  let theirLoss, theirs = quirks.Value.Head

                  for count, (repeatedLoss, repeated) in List.zip [ 1; 2; 3 ] quirks.Value do
                      Expect.floatClose Accuracy.high repeatedLoss theirLoss "pyvene's loss"
                      Expect.floatClose Accuracy.high (repeated / theirs) (float count) "pyvene's gradient"
                      let found, slope = lossAndGradient (spec count) theta
                      // More rows, another order of summing.
                      Expect.isLessThan (abs (found - loss) / loss) 1e-6 $"the loss of {count} slots"

                      Expect.isLessThan
                          (relative slope (gradient * float32 count))
                          1e-6
                          $"the gradient of {count} slots")
          }
          test "a prefix and a suffix that meet act one after another" {
              scoped (fun () ->
                  let model = create torch.float32 1L
                  let spec = loreft 2 |> at (blockOutput [ 1 ]) (slots 1 1)
                  let theta = Reft.init spec config (Rng.ofSeed 3L)
                  let context = Batch.context model batch
                  let ids = Batch.ids model.Device batch

                  let run attach =
                      model |> attach |> Transformer.logits context ids

                  let one name =
                      Reft.attach
                          (loreft 2
                           |> at (blockOutput [ 1 ]) (Positions.Explicit [ 1 ])
                           |> ReftSpec.during Phase.Always)
                          (theta.Sub $"layers.1.block_output.{name}"
                           |> Parameters.prefixed "layers.1.block_output")
                          context

                  let together = run (Reft.attach spec theta context)
                  Expect.isLessThan (relative together (run (one "prefix" >> one "suffix"))) 1e-6 "prefix, then suffix"

                  Expect.isGreaterThan
                      (relative together (run (one "suffix" >> one "prefix")))
                      1e-5
                      "the other order is another edit")
          }
          test "in generation only the prompt is edited: what a slot behind it would edit is not there yet" {
              scoped (fun () ->
                  let model = create torch.float32 1L
                  let spec = loreft 2 |> at (blockOutput [ 1 ]) (slots 2 0)
                  use bound = Reft.bind spec (Reft.init spec config (Rng.ofSeed 3L))

                  let options =
                      { MaxNewTokens = 8
                        StopIds = []
                        Padding = PaddingSide.Left }

                  let prompts = [ [| 7 |]; [| 5 |] ]

                  Expect.isFalse (Reft.actsAfterPrompt bound) "it acts in prefill alone"

                  Expect.equal
                      (Generate.complete options [ bound ] model prompts)
                      (Generate.complete options [] model prompts)
                      "prompts of one token have no slot of their own")
          } ]
