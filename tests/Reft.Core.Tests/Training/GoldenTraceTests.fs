module Reft.Core.Tests.Training.GoldenTraceTests

open Expecto
open TorchSharp
open Reft.Core
open Reft.Core.Syntax
open Reft.Core.Tests

/// How a run's rows were made, and so where its left-over slots point.
type private Dataset =
    /// A sink token stands before each row.
    | SinkBefore
    /// A padding token stands behind each row; left-over slots point at the first token of the completion.
    | PadBehind
    /// Rows as they are; left-over slots point at the first token of the completion.
    | Plain

/// A training run of the real pyreft, as its README.json tells it.
type private Run =
    {
        Case: string
        /// The base model's folder among the golden checkpoints.
        Base: string
        Sites: Site list
        Tied: bool
        First: int
        Last: int
        Rank: int
        Class: string
        Arguments: JsonValue
        Dataset: Dataset
        Schedule: Schedule
        Clip: float option
        BatchSize: int
        /// Batches of one optimizer step; pyreft takes the mean of their means.
        Accumulate: int
        /// pyreft's modules in the order in which it makes them, each with the name of our parameter set.
        Names: (string * string) list
    }

let private runs =
    [ "loreft_component_path"
      "loreft_noshare_first"
      "loreft_noshare_last"
      "loreft_noshare_module"
      "loreft_share_module"
      "loreft_share_first_cosine_accum"
      "loreft_mlp_output"
      "loreft_f1_const_noclip"
      "loreft_wd0.01_quirk"
      "noreft_share"
      "consreft_share"
      "lobireft_share"
      "direft_share"
      "nodireft_share"
      "arch_gemma"
      "arch_gemma2"
      "arch_gpt2"
      "arch_llama31_rope"
      "arch_mistral_sw8"
      "arch_phi3"
      "arch_qwen2"
      "arch_qwen3" ]

let private ints (value: JsonValue) =
    value
    |> JsonValue.items
    |> List.map (JsonValue.int -100 100_000)
    |> List.toArray

let private read case : Run =
    let readme = JsonValue.read 1_000_000 (Golden.path [ "d_e2e"; case; "README.json" ])

    let field name = readme |> JsonValue.field name
    let text name = field name |> JsonValue.string
    let arguments = field "training_args"

    let argument name absent =
        arguments
        |> JsonValue.tryField name
        |> Option.map (JsonValue.int 0 1000)
        |> Option.defaultValue absent

    let tied = field "share_weights" |> JsonValue.bool
    let struct (first, last) = text "positions" |> PyreftPositions.parsePositions

    let place =
        if text "component" = "mlp_output" then
            Component.MlpOutput
        else
            Component.BlockOutput

    let layers = field "layers" |> ints |> Array.toList
    let keys = field "intervention_keys" |> JsonValue.items |> List.map JsonValue.string

    { Case = case
      Base = (text "base_model").Split('/')[1]
      Sites = layers |> List.distinct |> List.map (fun layer -> Site.create layer place)
      Tied = tied
      First = first
      Last = last
      Rank = field "rank" |> JsonValue.int 1 64
      Class = text "cls"
      Arguments = field "intervention_kwargs"
      Dataset =
        if (text "dataset_api").Contains "pad_mode=first" then
            SinkBefore
        elif (text "dataset_api").StartsWith "ReftDataset" then
            PadBehind
        else
            Plain
      Schedule =
        match arguments |> JsonValue.field "lr_scheduler_type" |> JsonValue.string with
        | "constant" -> Schedule.constant
        | shape ->
            Schedule.ofShape
                (if shape = "cosine" then
                     ScheduleShape.Cosine
                 else
                     ScheduleShape.Linear)
                (argument "warmup_steps" 0)
                (argument "max_steps" 0)
      Clip =
        match field "adamw" |> JsonValue.field "max_grad_norm" |> JsonValue.float with
        | 0.0 -> None
        | limit -> Some limit
      BatchSize = argument "per_device_train_batch_size" 0
      Accumulate = argument "gradient_accumulation_steps" 1
      Names =
        List.zip layers keys
        |> List.map (fun (layer, key) ->
            let site = string (Site.create layer place)

            key,
            if tied || last = 0 then site
            elif key.EndsWith "#1" then $"{site}.suffix"
            else $"{site}.prefix") }

/// The rows as we take them, with the tokens that pyreft edits for each of its interventions, once for each slot. The sink
/// token and the padding token are left out: only pyreft's index arithmetic needs them.
let private examples run =
    JsonValue.read 10_000_000 (Golden.path [ "d_e2e"; run.Case; "dataset.json" ])
    |> JsonValue.items
    |> List.map (fun row ->
        let field name = row |> JsonValue.field name |> ints

        let own (values: int[]) =
            match run.Dataset with
            | SinkBefore -> Array.tail values
            | PadBehind -> Array.truncate (values.Length - 1) values
            | Plain -> values

        let locations =
            row
            |> JsonValue.field "intervention_locations"
            |> JsonValue.items
            |> List.map (fun slots ->
                let slots = ints slots |> Array.toList

                if run.Dataset = SinkBefore then
                    slots |> List.filter ((<) 0) |> List.map (fun location -> location - 1)
                else
                    slots)

        Example.ofLabels None (own (field "input_ids")) (own (field "labels")), locations)
    |> List.toArray

let private trace run name =
    JsonValue.read 1_000_000 (Golden.path [ "d_e2e"; run.Case; "trace.json" ])
    |> JsonValue.field name
    |> JsonValue.items
    |> List.map JsonValue.float

let private what run map =
    PyreftModules.intervention map run.Rank run.Class run.Arguments

let private pyreftPositions run =
    Positions.Pyreft
        { First = run.First
          Last = run.Last
          Padding =
            if run.Dataset = SinkBefore then
                PyreftPadding.Sink
            else
                PyreftPadding.NextToken }

/// Where a left-over slot does nothing, our own positions with pyreft's rule for short prompts must do; else pyreft's.
let private spec run map =
    let positions =
        match run.Dataset with
        | SinkBefore when run.Last = 0 -> first run.First
        | SinkBefore -> first run.First + last run.Last
        | _ -> pyreftPositions run

    what run map
    |> at run.Sites positions
    |> (if run.Tied then tied else id)
    |> ReftSpec.withShortPrompt ShortPrompt.Pyreft

let private modulesOf run (values: string -> Parameters) =
    run.Names
    |> List.map (fun (theirs, ours) -> values theirs |> Parameters.prefixed ours)
    |> Parameters.concat

/// The parameters before the first step. The golden files hold R and torch's base as they were then, but the rest as it
/// became (their tensors were saved by reference). pyreft draws them from torch's generator, seeded with 42: R and base,
/// or the projection, and then the source, module by module. Drawn again here, R and base are those of the file.
let private initial run (width: int) (map: OrthonormalMap) (golden: Map<string, Tensor>) =
    use generator = new torch.Generator(42UL, torch.CPU)
    let width, rank = int64 width, int64 run.Rank

    let normal rows columns =
        torch.randn ([| rows; columns |], generator = generator)

    let uniform low high (shape: int64[]) =
        torch.empty(shape).uniform_(low, high, generator)

    let bound = 1.0 / sqrt (float width)
    let linear = uniform -bound bound

    let rotation theirs =
        let r = normal width rank |> Orthonormal.positiveQr

        let basis =
            torch.cat (ResizeArray [ r; normal width (width - rank) ], 1L)
            |> Orthonormal.positiveQr

        golden.TryFind $"init.{theirs}.state_dict.rotate_layer"
        |> Option.iter (fun saved -> Golden.expectClose 1e-5 saved r "R as pyreft drew it")

        let saved =
            golden[$"init.{theirs}.buffer.rotate_layer.parametrizations.weight.0.base"]

        Golden.expectClose 1e-5 saved basis "base as pyreft drew it"

        if map.Name = "householder" then
            -(torch.eye (width, rank)), Some saved
        else
            Orthonormal.free r, None

    let hasBias =
        run.Arguments |> JsonValue.tryField "add_bias" |> Option.exists JsonValue.bool

    let draw (theirs, _) =
        let orthonormal = PyreftModules.isOrthonormal run.Class

        let first, basis =
            if orthonormal then
                let free, basis = rotation theirs
                [ "rotate_layer.parametrizations.weight.original", free ], basis
            else
                let weight = linear [| rank; width |]

                [ "proj_layer.weight", weight
                  if hasBias then
                      "proj_layer.bias", linear [| rank |] ],
                None

        let source =
            if run.Class = "ConsreftIntervention" || run.Class = "LobireftIntervention" then
                [ "learned_source", uniform 0.0 1.0 [| rank |] ]
            else
                let weight = linear [| rank; width |]
                [ "learned_source.weight", weight; "learned_source.bias", linear [| rank |] ]

        let drawn = Map.ofList (first @ source)
        theirs, PyreftModules.parameters drawn.TryFind basis

    let created = run.Names |> List.map draw |> Map.ofList
    modulesOf run (fun theirs -> created[theirs])

/// The parameters that golden tensors of a prefix hold, under torch's map.
let private saved run (golden: Map<string, Tensor>) (prefix: string -> string) =
    modulesOf run (fun theirs ->
        PyreftModules.parameters
            (fun name -> golden.TryFind(prefix theirs + name))
            (golden.TryFind $"init.{theirs}.buffer.rotate_layer.parametrizations.weight.0.base"))

/// The loss of a run. Where a model has learnt positions, pyreft's sink token shifts every row by one in training, though
/// not in generation.
let private loss run map (model: Transformer) : Loss =
    match run.Dataset, model.Config.Family with
    | SinkBefore, "gpt2" ->
        Loss.reftIn
            (fun _ context ->
                { context with
                    PositionIds = context.PositionIds.add (1L.ToScalar()) })
            (spec run map)
            model
    | _ -> Loss.reft (spec run map) model

let private train run (map: OrthonormalMap) golden (model: Transformer) =
    let rows = examples run |> Array.map fst
    let batchCount = (trace run "loss_exact").Length

    let batches =
        Seq.initInfinite (fun _ -> Batch.epoch PaddingSide.Right run.BatchSize None rows)
        |> Seq.concat
        |> Seq.truncate batchCount

    // No weight decay, also where a run asks for it: pyreft's never reaches the interventions.
    let options =
        { Trainer.options 5e-3 with
            Schedule = run.Schedule
            ClipNorm = run.Clip
            Accumulate = run.Accumulate
            Weighting = BatchWeighting.Equal }

    let state =
        initial run model.Config.Hidden map golden |> TrainState.create (Rng.ofSeed 0L)

    let reports = ResizeArray<StepReport>()
    let mutable last = state

    for report, next in Trainer.steps options (loss run map model) state batches do
        reports.Add report
        last <- next

    List.ofSeq reports, last

let private expectEach tolerance expected actual what =
    Expect.equal (List.length actual) (List.length expected) $"{what}: steps"

    List.zip expected actual
    |> List.iteri (fun i (expected: float, actual: float) ->
        let error = abs (actual - expected)

        Expect.isTrue
            (error <= tolerance * abs expected)
            $"{what} {i}: expected {expected}, found {actual}, relative error {error / abs expected:E1}")

let private firstBatch run =
    examples run
    |> Array.truncate run.BatchSize
    |> Array.map fst
    |> Array.toList
    |> Batch.create PaddingSide.Right

let private evaluation run map model theta =
    Trainer.evaluate (loss run map model) theta [ firstBatch run ]

/// The prompts of the golden generations (left padded, masked), and the new tokens of a result.
let private generations (golden: Map<string, Tensor>) moment =
    let host (t: Tensor) =
        t.data<int64>().ToArray() |> Array.map int |> Array.chunkBySize (int t.shape[1])

    let ids, mask, sequences =
        host golden["gen.input_ids"], host golden["gen.attention_mask"], host golden[$"{moment}.gen.sequences"]

    [ for row in 0 .. ids.Length - 1 ->
          Array.zip ids[row] mask[row] |> Array.filter (snd >> (=) 1) |> Array.map fst,
          sequences[row][ids[row].Length ..] ]

/// pyreft's generations, with each slot that a short prompt leaves over set to the prompt's last token, since pyreft itself
/// fails there: as a function of the row, and for a prefix and a suffix, which may meet, as two attachments.
let private clamped run map (golden: Map<string, Tensor>) theta =
    let host name =
        golden[name].data<int64>().ToArray() |> Array.map int

    let shape = golden["gen.intervention_locations"].shape |> Array.map int

    let slots =
        host "gen.intervention_locations"
        |> Array.chunkBySize shape[2]
        |> Array.chunkBySize shape[1]

    let starts =
        generations golden "before"
        |> List.map (fun (ids, _) -> int golden["gen.input_ids"].shape[1] - ids.Length)

    let prompts = generations golden "before" |> List.map fst

    let positions group =
        let known =
            List.zip3 prompts starts (List.ofArray slots)
            |> List.map (fun (ids, start, slots) ->
                ids,
                slots[group * run.Sites.Length]
                |> Array.map (fun slot -> slot - start)
                |> Array.toList)

        PositionFunction.create $"clamped-{group}" (fun row ->
            known
            |> List.find (fun (ids, _) -> ids = Array.truncate row.Prompt row.Ids)
            |> snd)
        |> Positions.Function

    let bound (theta: Parameters) group =
        Reft.bind (what run map |> at run.Sites (positions group) |> tied) theta

    if run.Tied then
        [ bound theta 0 ]
    else
        [ 0, "prefix"; 1, "suffix" ]
        |> List.map (fun (group, name) ->
            let own =
                run.Sites
                |> List.map (fun site -> theta.Sub $"{site}.{name}" |> Parameters.prefixed (string site))
                |> Parameters.concat

            bound own group)

let private expectGenerations run map model golden moment theta =
    let rows = generations golden moment

    let bound =
        if run.Dataset = SinkBefore then
            [ Reft.bind (spec run map) theta ]
        else
            clamped run map golden theta

    let options =
        { MaxNewTokens = (snd rows.Head).Length
          StopIds = []
          Padding = PaddingSide.Left }

    let found = Generate.complete options bound model (rows |> List.map fst)
    bound |> List.iter (fun bound -> (bound :> System.IDisposable).Dispose())

    List.zip rows (List.ofArray found)
    |> List.iteri (fun i ((_, expected), found) -> Expect.equal found expected $"{moment} generation {i}")

let private close tolerance expected actual what =
    Expect.floatClose { absolute = 0.0; relative = tolerance } actual (float ((expected: Tensor).item<float32>())) what

let private reproduces run () =
    use loaded = Checkpoint.load (Golden.path [ "a_models"; run.Base; "model" ])
    let golden = Golden.tensors [ "d_e2e"; run.Case; "tensors.safetensors" ]
    let map = Orthonormal.householder
    let start = initial run loaded.Config.Hidden map golden
    close 1e-5 golden["before.loss_batch0"] (evaluation run map loaded.Model start) "loss before"

    let gradient =
        dsharp.grad (fun v -> loss run map loaded.Model (firstBatch run) (start.OfVector v)) start.Vector
        |> fun gradient -> gradient / float32 run.Accumulate
        |> start.OfVector

    let first = saved run golden (fun theirs -> $"grad_step0.{theirs}.")
    Expect.equal first.Names start.Names "pyreft's parameters, every one"

    for p in first.Entries do
        if p.IsTrainable then
            Golden.expectClose 1e-4 p.Value gradient[p.Name] $"first gradient of {p.Name}"

    let reports, trained = train run map golden loaded.Model
    // Batch by batch in the golden files, the gradient's norm as it adds up.
    let ofSteps name choose =
        trace run name |> List.chunkBySize run.Accumulate |> List.map choose

    expectEach 1e-3 (ofSteps "loss_exact" List.average) (reports |> List.map (fun r -> r.Loss)) "loss"

    expectEach
        1e-3
        (ofSteps "grad_norm_accumulated" List.last)
        (reports |> List.map (fun r -> r.GradientNorm))
        "gradient norm"

    expectEach 1e-6 (trace run "log_lr") (reports |> List.map (fun r -> r.LearningRate)) "learning rate"

    let final = saved run golden (fun theirs -> $"final.{theirs}.param.")
    Expect.equal final.Names start.Names "pyreft's parameters, every one"

    for p in final.Entries do
        Golden.expectClose 1e-3 p.Value (trained.Parameters[p.Name]) p.Name

    close 1e-3 golden["after.loss_batch0"] (evaluation run map loaded.Model trained.Parameters) "loss after"
    expectGenerations run map loaded.Model golden "before" start
    expectGenerations run map loaded.Model golden "after" trained.Parameters

let private defaultMap run () =
    use loaded = Checkpoint.load (Golden.path [ "a_models"; run.Base; "model" ])
    let golden = Golden.tensors [ "d_e2e"; run.Case; "tensors.safetensors" ]
    let reports, trained = train run Orthonormal.qr golden loaded.Model

    Expect.floatClose
        { absolute = 0.0; relative = 1e-3 }
        reports.Head.Loss
        (trace run "loss_exact").Head
        "the same start"

    let loss = evaluation run Orthonormal.qr loaded.Model trained.Parameters
    let theirs = float (golden["after.loss_batch0"].item<float32>())
    Expect.isLessThan loss (1.02 * theirs) "the loss after training, against torch's map"

/// Our rules and pyreft's function choose the tokens that pyreft's data names, once for each slot.
let private positions run () =
    let placement = (spec run Orthonormal.qr).Head
    let groups = Positions.groups placement.Tie placement.Where |> List.length

    for example, locations in examples run do
        for group in 0 .. groups - 1 do
            let expected = locations[group * run.Sites.Length] |> List.sort

            for where in [ placement.Where; pyreftPositions run ] do
                let ours =
                    where
                    |> Positions.resolve (Some ShortPrompt.Pyreft) placement.Tie example.Prompt
                    |> List.filter (fun struct (found, _) -> found = group)
                    |> List.map (fun struct (_, token) -> token)
                    |> List.sort

                Expect.equal ours expected $"{where} in a prompt of {example.Prompt}, group {group}"

[<Tests>]
let tests =
    testList
        "Golden training"
        [ for case in runs do
              testCase $"{case}: pyreft's positions" (fun () -> TinyModel.scoped (positions (read case)))
              testCase $"{case}: step by step with torch's map" (fun () -> TinyModel.scoped (reproduces (read case)))

              if case = "loreft_component_path" || case = "loreft_noshare_first" then
                  testCase $"{case}: the default map ends as low" (fun () -> TinyModel.scoped (defaultMap (read case))) ]
