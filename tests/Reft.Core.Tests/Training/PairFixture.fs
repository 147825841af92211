/// Pairs of completions for the tiny model, and what objectives are checked by.
module Reft.Core.Tests.Training.PairFixture

open System.Threading
open Expecto
open TorchSharp
open Reft.Core
open Reft.Core.Syntax
open Reft.Core.Tests
open Reft.Core.Tests.TinyModel

let model () = create torch.float32 1L

let spec = loreft 2 |> at (blockOutput [ 0; 2 ]) (first 1 + last 2)

/// Parameters away from where they start, so that nothing is 0 by chance.
let moved (theta: Parameters) : Parameters =
    theta.Vector + Rng.normal [ theta.TrainableCount ] (Rng.ofSeed 8L) * 0.1f
    |> theta.OfVector

let parameters () =
    Reft.init spec config (Rng.ofSeed 4L) |> moved

/// A prompt of random ids, and two completions of these lengths.
let private pair seed prompt chosen rejected =
    let ids =
        Rng.permutation (config.Vocabulary - 1) (Rng.ofSeed seed) |> Array.map ((+) 1)

    let prompt, rest = Array.splitAt prompt ids
    let chosenIds, rest = Array.splitAt chosen rest

    Example.ofCompletion prompt chosenIds
    |> Example.preferredTo (Example.ofCompletion prompt (Array.truncate rejected rest))

/// Pairs whose prompts and completions have different lengths.
let pairs () : Example list =
    [ pair 1L 4 3 2; pair 2L 6 1 5; pair 3L 3 4 4; pair 4L 5 2 1 ]

/// The preferred rows, and after them the others.
let rowsOf (pairs: Example list) : Example list =
    (pairs |> List.map (fun e -> { e with Rejected = None }))
    @ (pairs |> List.map (fun e -> e.Rejected.Value))

let batch side : Batch = pairs () |> Batch.create side

/// log p of a row's scored tokens by the formula, of the row alone.
let logProb (spec: ReftSpec) (theta: Parameters) (model: Transformer) (row: Example) : Tensor =
    let batch = Batch.create PaddingSide.Right [ row ]
    let context = Batch.context model batch |> Context.withPlainAttention

    let table =
        (model
         |> Reft.attach spec theta context
         |> Transformer.logits context (Batch.ids torch.CPU batch))
            .log_softmax
            2L

    row.Labels
    |> Seq.indexed
    |> Seq.filter (fun (_, label) -> label <> Example.Ignored)
    |> Seq.map (fun (token, label) -> table[0L, int64 token - 1L, int64 label])
    |> Seq.reduce (+)

let number (t: Tensor) = float (t.item<float32>())
let sigmoid x = 1.0 / (1.0 + exp -x)

let expectClose what (expected: float) (found: float) =
    Expect.isLessThan (abs (expected - found)) (1e-5 * max 1.0 (abs expected)) $"{what}: {expected} and {found}"

/// dL/dθ against central differences along random directions.
let differences (loss: Loss) (theta: Parameters) (batch: Batch) =
    let f (v: Tensor) = loss batch (theta.OfVector v)
    let gradient = dsharp.grad f theta.Vector

    for seed in 0L .. 2L do
        let direction = Rng.normal [ theta.TrainableCount ] (Rng.ofSeed seed)
        let unit = direction / direction.norm ()
        let step = 3e-2f

        let found =
            number (f (theta.Vector + unit * step) - f (theta.Vector - unit * step))
            / (2.0 * float step)

        let expected = number ((gradient * unit).sum())
        Expect.isLessThan (abs (expected - found)) (2e-3 + 2e-2 * abs found) $"{expected} and {found}"

/// By formulas with all derivatives a loss has the same value and gradient.
let smoothAgrees (loss: Tuned -> Loss) (tuned: Tuned) (theta: Parameters) (batch: Batch) =
    let at tuned =
        dsharp.fgrad (fun (v: Tensor) -> loss tuned batch (theta.OfVector v)) theta.Vector

    let value, gradient = at tuned
    let smoothValue, smoothGradient = at (Tuned.smooth tuned)
    Expect.isLessThan (relative value smoothValue) 1e-5 "value"
    Expect.isLessThan (relative gradient smoothGradient) 1e-4 "gradient"

/// A step over a batch, and one over its examples apart, are the same.
let accumulates (loss: Loss) (theta: Parameters) (examples: Example list) =
    let step batches =
        let state = TrainState.create (Rng.ofSeed 1L) theta
        let struct (report, after) = Trainer.step (Trainer.options 1e-2) loss batches state
        report, after.Theta

    let whole, together = step [| Batch.create PaddingSide.Right examples |]

    let parts, apart =
        step [| for example in examples -> Batch.create PaddingSide.Right [ example ] |]

    Expect.floatClose Accuracy.medium whole.Loss parts.Loss "loss"
    Expect.isLessThan (relative together apart) 1e-4 "parameters"

/// 60 steps leave as many tensors as 10.
let leavesNothing (loss: Loss) (theta: Parameters) (batch: Batch) =
    let after count state =
        Seq.replicate count batch |> Trainer.fit (Trainer.options 1e-3) loss state

    let warm = TrainState.create (Rng.ofSeed 1L) theta |> after 10
    let tensors = Golden.liveTensors ()
    let final = after 50 warm
    TrainState.dispose warm
    Expect.equal Tensor.TotalCount tensors "live tensors"
    TrainState.dispose final

/// What a run reaches.
let train epochs (loss: Loss) (theta: Parameters) (examples: Example seq) : Parameters =
    let options =
        { Fit.defaults with
            Epochs = epochs
            BatchSize = 4
            LearningRate = 2e-2
            Warmup = Warmup.Steps 0 }

    (TrainState.create (Rng.ofSeed 2L) theta
     |> Fit.run options (FitTask.create loss examples) (fun _ _ -> ()) CancellationToken.None)
        .State
        .Parameters

/// A metric by its name.
let metric (name: string) (metrics: Metrics) : float =
    metrics |> List.find (fst >> (=) name) |> snd

let refuses (text: string) (action: unit -> 'T) =
    Expect.throwsC (fun () -> action () |> ignore) (fun e -> Expect.stringContains e.Message text "message")
