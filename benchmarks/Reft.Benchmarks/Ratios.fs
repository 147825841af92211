/// What LoReFT costs beside the model itself, as ratios on one model, measured side by side in one run.
module Reft.Benchmarks.Ratios

open TorchSharp
open Reft.Core
open Reft.Core.Syntax
open Reft.Benchmarks.Arguments
open Reft.Benchmarks.Subject

let private rows, length, prompt = 8, 128, 96

/// The time of interventions has two measurements, because each errs in another direction.
///
/// Alone: bind θ, attach, apply every layer's edit to a residual stream of the step's shape, and send a gradient back
/// through all of it to θ; no block in between. This is all that the interventions add to the graph of a step, timed
/// directly and therefore steadily.
let private interventionsAlone (subject: Subject) (model: Transformer) (batch: Batch) (theta: Parameters) =
    let stream seed =
        Rng.normal [ int64 batch.Rows; int64 batch.Columns; int64 subject.Config.Hidden ] (Rng.ofSeed seed)
        |> fun draws -> draws.``to`` model.Dtype

    let h, gradient, flat = stream 5L, stream 6L, theta.Vector
    let context = model |> Transformer.context None 0 batch.Columns batch.Spans

    fun () ->
        Scope.free (fun () ->
            let leaf = Autograd.variable flat
            let tuned = model |> Reft.attach subject.Spec (theta.OfVector leaf) context

            let edited = tuned.Taps |> Array.fold (fun h tap -> tap Component.BlockOutput h) h

            Autograd.tryPullback GraphUse.Free edited gradient [ leaf ] |> ignore)

/// By difference: the step less a step whose only edit adds one learnt vector to the first block's output, so that its
/// backward pass covers the same blocks. It also holds what interventions do to the rest of the step (caches, allocations,
/// the optimizer's longer vector), and the noise of two long times.
let private oneVector () : ReftSpec =
    Intervention.define
        "one-vector"
        (fun width _ -> Parameters.ofSeq [ "v", torch.zeros (int64 width, dtype = torch.float32) ])
        (fun theta _ h -> theta["v"].expand_as h)
    |> at (blockOutput [ 0 ]) (first 1)

let private times (options: Arguments) (subject: Subject) (model: Transformer) =
    let plan = plan options
    let batch = Subject.batch subject.Config rows length prompt false
    let state = fresh subject.Spec subject.Config
    let vectorSpec = oneVector ()
    let vectorState = fresh vectorSpec subject.Config
    let ids = Batch.ids torch.CPU batch

    let forwardOnly (run: unit -> Tensor) () =
        use _ = torch.no_grad ()
        use _ = torch.NewDisposeScope()
        run () |> ignore

    let series =
        [ "step, LoReFT on all layers", step (Loss.reft subject.Spec model) state batch
          "step, one vector at block 0", step (Loss.reft vectorSpec model) vectorState batch
          "forward, logits of all positions",
          forwardOnly (fun () ->
              let context = model |> Transformer.context None 0 batch.Columns batch.Spans
              model |> Transformer.logits context ids)
          "forward, loss on the scored positions", forwardOnly (fun () -> Loss.reft [] model batch Parameters.empty)
          "interventions alone", interventionsAlone subject model batch state.Parameters ]
        |> Timing.interleave plan

    let bound = Reft.bind subject.Spec state.Parameters
    let newTokens = if options.Quick then 16 else 64

    let decoded =
        [ for rows in [ 1; 8 ] ->
              let plain, tuned =
                  prompts subject.Config rows 32 |> Decoding.compare plan newTokens bound model

              rows, plain, tuned ]

    (bound :> System.IDisposable).Dispose()
    TrainState.dispose state
    TrainState.dispose vectorState

    Table.print
        [ "median"; "wall ms"; "CPU ms" ]
        [ yield! Table.series series
          for rows, plain, tuned in decoded do
              yield!
                  Table.series
                      [ { plain with
                            Name = $"{plain.Name}, batch {rows}" }
                        { tuned with
                            Name = $"{tuned.Name}, batch {rows}" } ] ]

    match series with
    | [ step; vector; logits; forward; alone ] ->
        Table.print
            [ "ratio"; "wall"; "CPU" ]
            [ Timing.ratio step logits
              |> Table.ratio "step ÷ plain forward (logits of all positions)"
              Timing.ratio step forward
              |> Table.ratio "step ÷ plain forward (loss on the scored positions)"
              Timing.ratio alone step |> Table.ratio "interventions alone ÷ step (aim < 0.05)"
              Timing.ratio (Timing.difference "" step vector) step
              |> Table.ratio "(step − step with one vector) ÷ step"
              for rows, plain, tuned in decoded do
                  Timing.ratio tuned plain
                  |> Table.ratio $"decoding with adapter ÷ without, batch {rows} (aim < 1.02)" ]
    | _ -> ()

/// Live memory after many steps ÷ after 10, each step from the state that the last one made, on batches of changing shape.
let private memory (options: Arguments) (subject: Subject) (model: Transformer) =
    let steps =
        options.Steps
        |> Option.defaultValue (if options.Quick then 50 else 1000)
        |> max 11

    let batches =
        [| for length in [ 24; 40; 33; 17 ] -> Subject.batch subject.Config 2 length (length / 2) false |]

    let trainer = Trainer.options 1e-4
    let loss = Loss.reft subject.Spec model
    let mutable state = fresh subject.Spec subject.Config

    let run first last =
        for number in first..last do
            let batch = batches[number % batches.Length]
            let struct (_, next) = Trainer.step trainer loss [| batch |] state
            TrainState.dispose state
            state <- next

    let reading () =
        Machine.settle ()
        torch.Tensor.TotalCount, Machine.memory "VmRSS"

    run 1 10
    let tensorsEarly, rssEarly = reading ()
    run 11 steps
    let tensorsLate, rssLate = reading ()
    TrainState.dispose state

    Table.print
        [ "live memory"; "after 10 steps"; $"after {steps} steps"; "ratio" ]
        [ [ "tensors"
            string tensorsEarly
            string tensorsLate
            Table.times (float tensorsLate / float tensorsEarly) ]
          [ "resident memory, MB"
            $"{rssEarly:F1}"
            $"{rssLate:F1}"
            Table.times (rssLate / rssEarly) ] ]

let private measure (options: Arguments) =
    for name in options.Models do
        for dtype in options.Dtypes do
            let subject = Subject.ofName name
            let weights = Subject.weights (dtypeOf dtype) subject.Config
            let model = Llama.build subject.Config (fun name -> weights[name])
            let config = subject.Config

            printfn
                $"### ratios, model {name}, {dtype}: hidden {config.Hidden}, {config.Layers} layers, ffn {config.Intermediate}, vocabulary {config.Vocabulary}; batch {rows} × {length}, scored after token {prompt}"

            times options subject model
            memory options subject model

            for weight in weights.Values do
                weight.Dispose()

let run (options: Arguments) : int =
    Machine.start options.Threads
    printfn "## ratios"
    printfn ""
    printfn $"{Machine.facts ()}"
    printfn ""
    measure options
    0
