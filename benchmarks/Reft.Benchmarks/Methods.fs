/// LoReFT beside LoRA, full fine-tuning and a plain forward pass: one trainer, one model, the same rows. Beside each measured
/// ratio stands the one that the operations of the matrix products, or the activations that a backward pass reads, predict.
module Reft.Benchmarks.Methods

open System.Collections.Generic
open TorchSharp
open Reft.Core
open Reft.Core.Syntax
open Reft.Benchmarks.Arguments
open Reft.Benchmarks.Subject

/// One comparison: the same rows of one model, with LoReFT somewhere.
type Setting =
    {
        /// What is varied, e.g. length.
        Axis: string
        /// Its value, as it is printed.
        Value: string
        /// Its value on the plot.
        At: float
        Config: ModelConfig
        Rows: int
        Length: int
        /// The last layers, so many of them, are edited.
        Edited: int
        Positions: Positions
        Rank: int
    }

[<Literal>]
let private LoraRank = 8

/// What LoRA is given: the two sets of maps that are usual.
let private attentionMaps = [ "q_proj"; "k_proj"; "v_proj"; "o_proj" ]

let private allMaps = attentionMaps @ [ "gate_proj"; "up_proj"; "down_proj" ]

let private standard: Setting =
    let config = (Subject.pyreft ()).Config

    { Axis = "standard"
      Value = "hidden 512, 8 layers"
      At = 512.0
      Config = config
      Rows = 8
      Length = 128
      Edited = config.Layers
      Positions = first 7 + last 7
      Rank = 8 }

/// A Llama of another width, its heads and its MLP in proportion.
let private wide hidden (setting: Setting) =
    { setting with
        Axis = "size"
        Value = $"hidden {hidden}"
        At = float hidden
        Config =
            { setting.Config with
                Hidden = hidden
                Heads =
                    { Heads = hidden / 64
                      KvHeads = hidden / 64
                      HeadDim = 64 }
                Intermediate = hidden * 43 / 16 } }

let private settings: Setting list =
    let layers = standard.Config.Layers

    [ standard
      yield! [ 256; 512; 1024 ] |> List.map (fun hidden -> wide hidden standard)
      for length in [ 64; 128; 256; 512 ] do
          { standard with
              Axis = "length"
              Value = $"{1024 / length} × {length}"
              At = float length
              Rows = 1024 / length
              Length = length }
      for rows in [ 4; 16; 32 ] do
          { standard with
              Axis = "batch"
              Value = $"{rows} × 128"
              At = float rows
              Rows = rows }
      for edited in [ 1; 2; 4; layers ] do
          { standard with
              Axis = "layers"
              Value = $"the last {edited}"
              At = float edited
              Edited = edited }
      for name, at, positions in
          [ "f1+l1", 2.0, first 1 + last 1
            "f7+l7", 14.0, first 7 + last 7
            "f32+l32", 64.0, first 32 + last 32
            "all of the prompt", 96.0, all ] do
          { standard with
              Axis = "positions"
              Value = name
              At = at
              Positions = positions }
      for rank in [ 1; 8; 32; 128 ] do
          { standard with
              Axis = "rank"
              Value = string rank
              At = float rank
              Rank = rank } ]

let private keyOf (setting: Setting) = $"{setting.Axis}/{setting.Value}"

let private firstEdited (setting: Setting) = setting.Config.Layers - setting.Edited

let private spec (setting: Setting) : ReftSpec =
    loreft setting.Rank
    |> at (blockOutput [ firstEdited setting .. setting.Config.Layers - 1 ]) setting.Positions
    |> tied

/// A quarter of each row is scored, as a completion is.
let private batchOf (setting: Setting) : Batch =
    Subject.batch setting.Config setting.Rows setting.Length (setting.Length * 3 / 4) false

[<Literal>]
let private Recomputed = "LoReFT, recomputed"

[<Literal>]
let private Cached = "LoReFT, cached"

let private methodNames =
    [ "LoReFT"; Recomputed; "LoRA, all maps"; "LoRA, attention"; "full" ]

let private lora rank maps config (weights: IReadOnlyDictionary<string, Tensor>) rng =
    let adapted =
        Llama.tensors config
        |> List.choose (fun (name, shape) ->
            let map = name.Replace(".weight", "")

            if maps |> List.exists (fun (m: string) -> map.EndsWith("." + m)) then
                Some(map, shape)
            else
                None)

    let theta =
        adapted
        |> List.mapi (fun i (name, shape) ->
            let bound = 1.0 / sqrt (float shape[1])

            [ Parameters.entry
                  Role.Decayed
                  $"lora.{name}.down"
                  (Rng.uniform -bound bound [ int64 rank; shape[1] ] (Rng.fork i rng))
              Parameters.entry Role.Decayed $"lora.{name}.up" (torch.zeros (shape[0], int64 rank)) ])
        |> List.concat
        |> Parameters

    // As Lora.create builds a checkpoint's: from fp32 parameters, in the model's dtype.
    let model (theta: Parameters) =
        let narrow name =
            theta[name].``to`` weights["model.norm.weight"].dtype

        Weights.ofTensors (fun name -> weights[name])
        |> Weights.withUpdates (fun name ->
            match theta.TryFind $"lora.{name}.down" with
            | Some _ ->
                [ { Down = narrow $"lora.{name}.down"
                    Up = narrow $"lora.{name}.up"
                    Scale = 2.0
                    Input = None } ]
            | None -> [])
        |> Llama.family.Build config

    Tuned.ofModel model, theta

/// A method's loss and a fresh state of it.
let private prepare (setting: Setting) (weights: IReadOnlyDictionary<string, Tensor>) name : Loss * TrainState =
    let config = setting.Config
    let find name = weights[name]
    let rng = Rng.ofSeed 3L

    let tuned, theta =
        match name with
        | "LoReFT"
        | Recomputed -> Llama.build config find |> Tuned.reft (spec setting), Reft.init (spec setting) config rng
        | "full" ->
            let theta =
                Llama.tensors config
                |> List.map (fun (name, shape) ->
                    Parameters.entry (if shape.Length > 1 then Role.Decayed else Role.Undecayed) name weights[name])
                |> Parameters

            Tuned.ofModel (fun theta -> Llama.build config (fun name -> theta[name])), theta
        | _ ->
            let maps = if name = "LoRA, attention" then attentionMaps else allMaps
            lora LoraRank maps config weights rng

    let loss =
        if name = Recomputed then
            Recompute.language 1 tuned
        else
            Loss.language tuned

    loss, TrainState.create rng theta

/// A step whose frozen layers are read from a cache, and what frees it.
let private cached (setting: Setting) (weights: IReadOnlyDictionary<string, Tensor>) (batch: Batch) state =
    let prefix =
        Llama.build setting.Config (fun name -> weights[name])
        |> FrozenPrefix.create
            { MostBytes = 1_000_000_000L
              Folder = None }
            (spec setting)

    prefix
    |> FrozenPrefix.fill batch.Rows batch.Examples System.Threading.CancellationToken.None

    FrozenPrefix.seal prefix
    step (Loss.language (FrozenPrefix.tuned prefix)) state batch, (prefix :> System.IDisposable)

/// Seconds of matrix products that a step of each method cannot do without, from rates measured in the same rounds.
let private predictedTimes (setting: Setting) (floor: Map<string, Timing.Series>) (scored: int) =
    let seconds name = Timing.wall floor[name]
    let layers = float setting.Config.Layers
    let forward, head = seconds "forward", seconds "head"
    let backwardOfAll = seconds "backward" + seconds "first block"

    // The backward pass of LoReFT ends at its first edit, a block's output.
    let loreft = forward + head + backwardOfAll * float (setting.Edited - 1) / layers

    let lora maps =
        let hidden, inner = float setting.Config.Hidden, float setting.Config.Intermediate

        // Down and up, forward, and for the gradients of their inputs and of themselves: 3 · 2 r (in + out) a token.
        let operations =
            maps
            |> List.sumBy (fun name ->
                match name with
                | "gate_proj"
                | "up_proj"
                | "down_proj" -> hidden + inner
                | _ -> 2.0 * hidden)
            |> (*) (6.0 * float LoraRank * layers * float (setting.Rows * setting.Length))

        let rate =
            float (setting.Rows * setting.Length)
            * layers
            * Subject.blockOperations setting.Config
            / forward

        forward + head + backwardOfAll + operations / rate

    // The gradients of the weights are as many operations as the forward pass; the head's too.
    let full = 2.0 * forward + 1.5 * head + backwardOfAll

    [ "LoReFT", loreft
      Recomputed, loreft + forward * float (setting.Edited - 2) / layers
      "LoRA, all maps", lora allMaps
      "LoRA, attention", lora attentionMaps
      "full", full
      "forward", forward + head / 2.0 ]
    |> Map.ofList

/// Numbers that a block keeps for its backward pass, by method, for one token.
///
/// Everywhere: the input of both norms, and each divided by its root mean square (4 d, of which the two inputs are the
/// residual stream itself); queries, keys and values as attention reads them and its output (4 d); the gate, its activation
/// and the up projection (3 f). A map whose weight is trained, or that has a low-rank map beside it, keeps its input: both
/// norms' outputs and attention's output laid out anew (3 d), and the MLP's inner activation (f).
let private keptOfBlock (config: ModelConfig) name =
    let d, f = float config.Hidden, float config.Intermediate

    match name with
    | "LoReFT" -> 8.0 * d + 3.0 * f
    | Recomputed -> d
    | "LoRA, attention" -> 10.0 * d + 3.0 * f
    | _ -> 11.0 * d + 4.0 * f

let private predictedKept (setting: Setting) dtypeBytes name =
    let blocks =
        if name = "LoReFT" || name = Recomputed then
            setting.Edited - 1
        else
            setting.Config.Layers

    dtypeBytes
    * float (setting.Rows * setting.Length * blocks)
    * keptOfBlock setting.Config name
    / 1e6

/// In a process of its own: what a method's forward pass keeps for its backward pass, and the peak of its steps.
let private memory (options: Arguments) key name =
    let setting = settings |> List.find (fun setting -> keyOf setting = key)
    let dtype = dtypeOf options.Dtypes.Head
    let weights = Subject.weights dtype setting.Config
    let loss, state = prepare setting weights name
    let batch = batchOf setting
    let step = step loss state batch
    // One step on one short row: the code of every operation is then in memory, and what is measured is the batch's.
    Subject.step loss state (Subject.batch setting.Config 1 8 6 false) ()
    Machine.settle ()
    let loaded = Machine.memory "VmRSS"

    let kept =
        // Once before it is counted, so that the code and the constants of every operation are there.
        Scope.free (fun () -> loss batch (state.Layout.OfVector(Autograd.variable state.Theta)) |> ignore)
        Machine.settle ()
        let before = Heap.inUse ()

        Scope.free (fun () ->
            let value = loss batch (state.Layout.OfVector(Autograd.variable state.Theta))
            let kept = Heap.inUse () - before
            kept + 0.0 * float (value.item<float32>()))

    for _ in 1..3 do
        step ()

    let peak = Machine.memory "VmHWM"
    printfn $"case {peak:F1} {peak - loaded:F1} {kept:F1} {state.Theta.numel ()}"

type Memory =
    {
        /// The peak of the whole process.
        Peak: float
        /// That above the process after a step on one short row.
        Above: float
        /// What the forward pass keeps for the backward pass.
        Kept: float
        Parameters: int64
    }

let private memoryOf (options: Arguments) dtype (setting: Setting) name : Memory =
    let arguments =
        forChild
            { options with
                Dtypes = [ dtype ]
                Case = Some $"{keyOf setting}|{name}" }

    let line =
        (Machine.childOutput "methods" arguments).Split '\n'
        |> Array.find (fun line -> line.StartsWith "case ")

    match line.Trim().Split ' ' with
    | [| _; peak; above; kept; parameters |] ->
        { Peak = float peak
          Above = float above
          Kept = float kept
          Parameters = int64 parameters }
    | _ -> invalidOp $"a measuring process printed '{line}'"

type private Outcome =
    {
        Setting: Setting
        Dtype: string
        /// Seconds by method, forward among them, round by round.
        Times: Map<string, Timing.Series>
        Predicted: Map<string, float>
        /// Seconds of the head's products, forward.
        HeadForward: float
        Memory: Map<string, Memory>
    }

let private measure (options: Arguments) dtype (setting: Setting) : Outcome =
    let weights = Subject.weights (dtypeOf dtype) setting.Config
    let batch = batchOf setting

    let names =
        match setting.Axis with
        | "standard" -> methodNames
        | _ -> [ "LoReFT"; "LoRA, all maps" ]

    let prepared = names |> List.map (fun name -> name, prepare setting weights name)
    let model = Llama.build setting.Config (fun name -> weights[name])

    let forward () =
        use _ = torch.no_grad ()
        use _ = torch.NewDisposeScope()
        Loss.reft [] model batch Parameters.empty |> ignore

    let frozen =
        if setting.Edited < setting.Config.Layers then
            Some(cached setting weights batch (prepared |> List.head |> snd |> snd))
        else
            None

    let floor = Floor.create setting.Config weights (setting.Rows * setting.Length)

    let products =
        [ "products: forward"
          "products: backward"
          "products: first block"
          "products: head" ]

    let series =
        (prepared |> List.map (fun (name, (loss, state)) -> name, step loss state batch))
        @ (frozen |> Option.map (fun (step, _) -> Cached, step) |> Option.toList)
        @ [ "forward", forward ]
        @ List.zip
            products
            [ floor.Forward
              floor.Backward
              floor.FirstBlockBackward
              floor.Head batch.Scored.Length ]
        |> Timing.interleave (plan options)
        |> List.map (fun s -> s.Name.Replace("products: ", "floor/"), s)
        |> Map.ofList

    let floorSeries =
        series
        |> Map.toSeq
        |> Seq.filter (fun (name, _) -> name.StartsWith "floor/")
        |> Seq.map (fun (name, s) -> name.Substring 6, s)
        |> Map.ofSeq

    frozen |> Option.iter (fun (_, owner) -> owner.Dispose())

    for _, (_, state) in prepared do
        TrainState.dispose state

    for weight in weights.Values do
        weight.Dispose()

    { Setting = setting
      Dtype = dtype
      Times = series |> Map.filter (fun name _ -> not (name.StartsWith "floor/"))
      Predicted = predictedTimes setting floorSeries batch.Scored.Length
      HeadForward = Timing.wall floorSeries["head"] / 2.0
      Memory =
        names
        |> List.map (fun name -> name, memoryOf options dtype setting name)
        |> Map.ofList }

let private tokens (outcome: Outcome) =
    float (outcome.Setting.Rows * outcome.Setting.Length)

let private printStandard (outcome: Outcome) =
    let bytes = if outcome.Dtype = "bf16" then 2.0 else 4.0

    Table.print
        [ $"{outcome.Setting.Value}, {outcome.Setting.Rows} × {outcome.Setting.Length}, {outcome.Dtype}"
          "parameters"
          "tokens/s"
          "step, ms"
          "÷ LoReFT (wall / CPU)"
          "predicted by products"
          "peak MB"
          "above one short row's"
          "kept for backward"
          "predicted" ]
        [ for name in methodNames @ [ "forward" ] do
              let series = outcome.Times[name]
              let ratio = Timing.ratio series outcome.Times["LoReFT"]
              let predicted = outcome.Predicted[name] / outcome.Predicted["LoReFT"]

              [ name
                match outcome.Memory.TryFind name with
                | Some memory -> $"{memory.Parameters:N0}"
                | None -> ""
                $"{tokens outcome / Timing.wall series:F0}"
                Table.ms (Timing.wall series)
                $"{ratio.Wall:F3} / {ratio.Cpu:F3}"
                Table.times predicted
                match outcome.Memory.TryFind name with
                | Some memory ->
                    $"{memory.Peak:F0}"
                    $"{memory.Above:F0}"
                    $"{memory.Kept:F1}"
                    $"{predictedKept outcome.Setting bytes name:F1}"
                | None -> yield! [ ""; ""; ""; "" ] ] ]

let private printAxis (axis: string) (outcomes: Outcome list) =
    Table.print
        [ axis
          "LoReFT tokens/s"
          "LoRA tokens/s"
          "LoRA ÷ LoReFT, time (wall / CPU)"
          "predicted"
          "LoReFT ÷ forward"
          "LoReFT ÷ LoRA: peak / above one short row's"
          "kept for backward"
          "predicted" ]
        [ for outcome in outcomes do
              let bytes = if outcome.Dtype = "bf16" then 2.0 else 4.0
              let lora, loreft = outcome.Times["LoRA, all maps"], outcome.Times["LoReFT"]
              let ratio = Timing.ratio lora loreft
              let forward = Timing.ratio loreft outcome.Times["forward"]
              let ofLora, ofLoreft = outcome.Memory["LoRA, all maps"], outcome.Memory["LoReFT"]
              let kept = predictedKept outcome.Setting bytes

              [ $"{outcome.Setting.Value}, {outcome.Dtype}"
                $"{tokens outcome / Timing.wall loreft:F0}"
                $"{tokens outcome / Timing.wall lora:F0}"
                $"{ratio.Wall:F3} / {ratio.Cpu:F3}"
                Table.times (outcome.Predicted["LoRA, all maps"] / outcome.Predicted["LoReFT"])
                Table.times forward.Wall
                $"{ofLoreft.Peak / ofLora.Peak:F3} / {ofLoreft.Above / ofLora.Above:F3}"
                Table.times (ofLoreft.Kept / ofLora.Kept)
                Table.times (kept "LoReFT" / kept "LoRA, all maps") ] ]

/// What a cache of the frozen layers gains, beside what their share of the forward pass predicts.
let private printCache (outcomes: Outcome list) =
    Table.print
        [ "edited layers"
          "step, ms"
          "with the cache, ms"
          "speed-up (wall / CPU)"
          "predicted by the share of layers" ]
        [ for outcome in outcomes do
              match outcome.Times.TryFind Cached with
              | None -> ()
              | Some cached ->
                  let step = outcome.Times["LoReFT"]
                  let ratio = Timing.ratio step cached
                  // The forward pass with its loss, less the head: what the blocks take.
                  let blocks = Timing.wall outcome.Times["forward"] - outcome.HeadForward

                  let saved =
                      blocks * float (firstEdited outcome.Setting + 1)
                      / float outcome.Setting.Config.Layers

                  [ $"{outcome.Setting.Value}, {outcome.Dtype}"
                    Table.ms (Timing.wall step)
                    Table.ms (Timing.wall cached)
                    $"{ratio.Wall:F3} / {ratio.Cpu:F3}"
                    Table.times (Timing.wall step / (Timing.wall step - saved)) ] ]

let private parent (options: Arguments) =
    printfn "## methods"
    printfn ""
    printfn $"{Machine.facts ()}"
    printfn ""

    // A smoke run shows that everything runs: the standard setting, and both ends of one axis.
    let chosen =
        if options.Quick then
            settings
            |> List.filter (fun setting -> setting.Axis = "standard" || setting.Axis = "layers")
        else
            settings

    let outcomes =
        [ for setting in chosen do
              for dtype in options.Dtypes do
                  if setting.Axis = "standard" || dtype = List.last options.Dtypes then
                      let outcome = measure options dtype setting

                      if setting.Axis = "standard" then
                          printStandard outcome

                      outcome ]

    let byAxis = outcomes |> List.groupBy (fun outcome -> outcome.Setting.Axis)

    for axis, outcomes in byAxis do
        if axis <> "standard" then
            printAxis axis outcomes

        if axis = "layers" then
            printCache outcomes

    options.Plot
    |> Option.iter (fun path ->
        [ for axis, outcomes in byAxis do
              if axis <> "standard" then
                  axis,
                  [ for name in [ "LoReFT"; "LoRA, all maps"; "forward" ] ->
                        name,
                        [ for outcome in outcomes ->
                              outcome.Setting.At, tokens outcome / Timing.wall outcome.Times[name] ] ] ]
        |> Growth.plot path)

    0

let run (options: Arguments) : int =
    Machine.start options.Threads

    match options.Case with
    | Some case ->
        let key, name =
            match case.Split '|' with
            | [| key; name |] -> key, name
            | _ -> invalidOp $"--case: expected SETTING|METHOD, found {case}"

        memory options key name
        0
    | None -> parent options
