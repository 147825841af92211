/// The configuration on which the real pyreft was measured: random Llama, batch 8 × 128, LoReFT of rank 4 on all layers,
/// f2+l2, tied. Each dtype runs in a process of its own, so that the peaks of memory are apart.
module Reft.Benchmarks.Pyreft

open TorchSharp
open Reft.Core
open Reft.Benchmarks.Arguments
open Reft.Benchmarks.Subject

let private rows, length, prompt = 8, 128, 96
let private promptTokens, newTokens = 32, 64

/// Memory comes first: the comparisons that follow hold buffers of their own.
let private peaks (steps: (string * (unit -> unit)) list) (generations: (string * (unit -> unit)) list) =
    let peak name run =
        for _ in 1..3 do
            run ()

        [ name; Table.memory "VmHWM" ]

    let start = [ "model loaded"; Table.memory "VmHWM" ]

    Table.print
        [ "peak resident memory so far, after"; "MB" ]
        [ start
          yield! steps @ generations |> List.map (fun (name, run) -> peak name run) ]

let private measure (options: Arguments) (dtypeName: string) =
    let subject = Subject.pyreft ()
    let config = subject.Config
    let dtype = dtypeOf dtypeName
    let weights = Subject.weights dtype config
    let model = Llama.build config (fun name -> weights[name])
    let part = Subject.batch config rows length prompt false
    let everything = Subject.batch config rows length prompt true
    let state = fresh subject.Spec config
    let loss = Loss.reft subject.Spec model
    use bound = Reft.bind subject.Spec state.Parameters
    let plan = plan options

    printfn
        $"### pyreft configuration, {dtypeName}: {Subject.parameterCount config:N0} parameters, batch {rows} × {length}, {part.Scored.Length} or {everything.Scored.Length} scored positions"

    let steps =
        [ "step, loss on the last 25 %", step loss state part
          "step, loss on all positions", step loss state everything ]

    let generation rows bound =
        prompts config rows promptTokens |> Decoding.complete newTokens bound model

    let generations =
        [ for rows in [ 1; 8 ] do
              $"generation, batch {rows}, with adapter", generation rows [ bound ]
              $"generation, batch {rows}, without", generation rows [] ]

    peaks steps (generations |> List.filter (fun (name, _) -> name.EndsWith "with adapter"))

    let floor = Floor.create config weights (rows * length)
    let ids = Batch.ids torch.CPU part

    let forward () =
        use _ = torch.no_grad ()
        use _ = torch.NewDisposeScope()
        let context = model |> Transformer.context None 0 length part.Spans
        model |> Transformer.logits context ids |> ignore

    let series =
        steps
        @ [ "forward, logits of all positions", forward
            "products: blocks, forward", floor.Forward
            "products: blocks 1 …, backward", floor.Backward
            "products: block 0, backward", floor.FirstBlockBackward
            "products: head on the last 25 %", floor.Head part.Scored.Length
            "products: head on all positions", floor.Head everything.Scored.Length ]
        |> Timing.interleave plan

    match series with
    | [ stepPart; stepAll; _; forward; backward; block; headPart; headAll ] ->
        let floorPart =
            Timing.sum "floor, loss on the last 25 %" [ forward; backward; headPart ]

        let floorAll =
            Timing.sum "floor, loss on all positions" [ forward; backward; headAll ]

        let aim = if dtypeName = "bf16" then 1.4 else 1.25
        Table.print [ "median"; "wall ms"; "CPU ms" ] (Table.series (series @ [ floorPart; floorAll ]))

        Table.print
            [ "ratio"; "wall"; "CPU" ]
            [ Timing.ratio stepPart floorPart
              |> Table.ratio $"step ÷ floor, loss on the last 25 %% (aim ≤ {aim})"
              Timing.ratio stepAll floorAll
              |> Table.ratio $"step ÷ floor, loss on all positions (aim ≤ {aim})"
              Timing.ratio stepPart (Timing.sum "" [ floorPart; block ])
              |> Table.ratio "last 25 %, backward products of block 0 counted too"
              Timing.ratio stepAll (Timing.sum "" [ floorAll; block ])
              |> Table.ratio "all positions, backward products of block 0 counted too" ]

        let operations =
            float (rows * length) * float config.Layers * Subject.blockOperations config

        printfn
            $"Rate of the forward products: {operations / Timing.wall forward / 1e9:F0} GFLOP/s; of the head's: {2.0
                                                                                                                 * 2.0
                                                                                                                 * float everything.Scored.Length
                                                                                                                 * float config.Hidden
                                                                                                                 * float config.Vocabulary
                                                                                                                 / Timing.wall headAll
                                                                                                                 / 1e9:F0} GFLOP/s."
    | _ -> ()

    let speeds = generations |> Timing.interleave plan

    Table.print
        [ $"prompt {promptTokens}, {newTokens} new tokens"
          "tokens/s"
          "wall ms"
          "CPU ms" ]
        [ for i, s in List.indexed speeds do
              let tokens = newTokens * (if i < 2 then 1 else 8)

              [ s.Name
                $"{float tokens / Timing.wall s:F0}"
                Table.ms (Timing.wall s)
                Table.ms (Timing.cpuSeconds s) ] ]

    TrainState.dispose state

let run (options: Arguments) : int =
    if options.Child then
        Machine.start options.Threads
        printfn $"{Machine.facts ()}"
        printfn ""
        options.Dtypes |> List.iter (measure options)
        0
    else
        printfn "## pyreft"
        printfn ""

        options.Dtypes
        |> List.map (fun dtype -> forChild { options with Dtypes = [ dtype ] } |> Machine.child "pyreft")
        |> List.max
