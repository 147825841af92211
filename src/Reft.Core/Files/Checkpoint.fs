namespace Reft.Core

open System
open System.Collections.Generic
open System.IO
open TorchSharp

/// <summary>A LoRA adapter of peft's to put on a model when it is loaded; it stays as it is in training.</summary>
type LoraOptions =
    {
        /// Where peft saved it.
        Folder: string
        /// Whether it is added to the matrices, in fp32 and rounded once, rather than computed beside them in fp32: no slower
        /// than the model itself, and in bf16 a little less exact.
        Merge: bool
    }

/// <summary>How a checkpoint is loaded.</summary>
[<NoEquality; NoComparison>]
type LoadOptions =
    {
        /// The dtype to compute in; <c>None</c> is the file's, and bf16 for F16 files on a CPU, which has no fast fp16.
        Dtype: torch.ScalarType option
        /// Where to compute.
        Device: torch.Device
        /// How the matrices of the blocks are kept.
        Weights: WeightFormat
        /// An adapter of peft's to put on it.
        Lora: LoraOptions option
    }

/// <summary>A model with its weights, which it owns: dispose it when the model is done.</summary>
[<Sealed>]
type LoadedModel
    internal
    (
        folder: string,
        model: Transformer,
        build: (Weights -> Weights) -> Transformer,
        store: WeightStore,
        eosIds: int list,
        fingerprint: string,
        owned: Tensor list
    ) =

    /// <summary>The folder it was loaded from.</summary>
    member _.Folder: string = folder

    /// <summary>The model itself.</summary>
    member _.Model: Transformer = model

    /// <summary>
    /// The same model from other weights, e.g. those that training reaches: <paramref name="change"/> maps where its weights
    /// come from. Nothing is copied, so that it may be built anew for each step.
    /// </summary>
    member _.Build(change: Weights -> Weights) : Transformer = build change

    /// <summary>Its shape.</summary>
    member _.Config: ModelConfig = model.Config

    /// <summary>
    /// Its weights by their names in the file. A matrix that was loaded as int8 is its whole numbers [out, in], without what
    /// its rows are multiplied by.
    /// </summary>
    member _.Tensors: IReadOnlyDictionary<string, Tensor> = store.Tensors

    /// <summary>How the matrices of its blocks are kept.</summary>
    member _.Weights: WeightFormat = store.Format

    /// <summary>What its weights take, in bytes, whether in the process's own memory or in the mapped file.</summary>
    member _.WeightBytes: int64 =
        Seq.append store.Tensors.Values store.Scales.Values
        |> Seq.sumBy (fun tensor -> tensor.numel () * tensor.element_size ())

    /// <summary>The tokens that end a generation.</summary>
    member _.EosIds: int list = eosIds

    /// <summary>What tells it from other base models; see <see cref="T:Reft.Core.Fingerprint"/>.</summary>
    member _.Fingerprint: string = fingerprint

    interface IDisposable with
        member _.Dispose() =
            (store :> IDisposable).Dispose()

            for tensor in owned do
                tensor.Dispose()

/// <summary>Models as Hugging Face folders.</summary>
[<RequireQualifiedAccess>]
module Checkpoint =

    let private weightDtypes = [ "F32"; "F16"; "BF16" ]

    /// <summary>The file's dtype, on the CPU, weights as they are stored.</summary>
    let defaults () : LoadOptions =
        Native.load ()

        { Dtype = None
          Device = torch.CPU
          Weights = WeightFormat.AsStored
          Lora = None }

    let private shapeText (shape: int64 list) = "[" + String.Join(", ", shape) + "]"

    /// All that is wrong with a table of tensors, or the table in the family's order.
    let private matched (family: Family) (config: ModelConfig) folder (found: (string * (string * int64 list)) list) =
        let present = found |> Seq.map fst |> HashSet

        // A layer of the base that only a classification head reads may be there or not; in part it may not.
        let extra = SequenceHead.ofBase family.SequenceHead config

        let expected =
            if extra |> List.exists (fst >> present.Contains) then
                family.Tensors config @ extra
            else
                family.Tensors config

        match found |> List.countBy fst |> List.tryFind (fun (_, count) -> count > 1) with
        | Some(name, _) ->
            raise (
                InvalidDataException
                    $"{folder}: expected one tensor that is '{name}', found several, with and without a prefix or by an older name"
            )
        | None -> ()

        let found' = dict found
        let known = HashSet(expected |> Seq.map fst, StringComparer.Ordinal)

        let missing =
            expected |> List.filter (fun (name, _) -> not (found'.ContainsKey name))

        let unexpected =
            found
            |> List.filter (fun (name, _) -> not (known.Contains name) && not (family.Ignorable config name))

        let wrong =
            expected
            |> List.choose (fun (name, shape) ->
                match found'.TryGetValue name with
                | true, (dtype, actual) when actual <> shape || not (List.contains dtype weightDtypes) ->
                    let types = String.concat "/" weightDtypes
                    Some $"'{name}' (expected {types} {shapeText shape}, found {dtype} {shapeText actual})"
                | _ -> None)

        let complaint title names =
            match names with
            | [] -> []
            | _ -> [ $"{List.length names} {title}: " + String.concat ", " names ]

        let complaints =
            [ yield!
                  missing
                  |> List.map (fun (name, shape) -> $"'{name}' {shapeText shape}")
                  |> complaint "missing"
              yield! unexpected |> List.map (fun (name, _) -> $"'{name}'") |> complaint "unexpected"
              yield! wrong |> complaint "of another shape or dtype" ]

        if not complaints.IsEmpty then
            let all = String.concat "; " complaints

            raise (
                InvalidDataException
                    $"{folder}: the tensors are not those of the {family.Name} model that config.json describes: {all}"
            )

        expected |> List.map fst

    /// The dtype of most weights.
    let private prevailing (tensors: TensorEntry list) =
        tensors
        |> List.groupBy (fun entry -> entry.Dtype)
        |> List.maxBy (fun (_, entries) -> entries |> List.sumBy (fun entry -> entry.Bytes))
        |> fst
        |> SafetensorsDtype.tryParse
        |> Option.defaultValue torch.float32

    let private dtypeFor (options: LoadOptions) (tensors: TensorEntry list) =
        match options.Dtype, prevailing tensors with
        | Some dtype, _ when not (torch.is_floating_point dtype) ->
            invalidArg (nameof options) $"expected a floating-point dtype, found {dtype}"
        | Some dtype, _ -> dtype
        | None, torch.ScalarType.Float16 when options.Device.``type`` = DeviceType.CPU -> torch.bfloat16
        | None, dtype -> dtype

    /// The linear maps that a family asks for, by their names.
    let private linearMaps (build: Weights -> Transformer) (weights: Weights) =
        let maps = Dictionary<string, struct (LinearEntry * Linear)>(StringComparer.Ordinal)

        { weights with
            Linear =
                fun entry ->
                    let linear = weights.Linear entry
                    maps[entry.Name] <- struct (entry, linear)
                    linear }
        |> build
        |> ignore

        maps

    /// Refuses an adapter with a matrix for a map that the model has not, or has in another shape.
    let private requireFit
        (family: Family)
        (folder: string)
        (maps: Dictionary<string, struct (LinearEntry * Linear)>)
        (adapter: LoraAdapter)
        =
        for KeyValue(name, update) in adapter.Updates do
            let refuse reason =
                raise (InvalidDataException $"{folder}: '{name}' {reason}")

            match maps.TryGetValue name with
            | true, struct (_, linear) ->
                let inputs, outputs = Linear.inputs linear, Linear.outputs linear

                if (outputs, inputs) <> (update.Up.shape[0], update.Down.shape[1]) then
                    refuse
                        $"has {inputs} inputs and {outputs} outputs, and the adapter's matrices {update.Down.shape[1]} and {update.Up.shape[0]}: it is of another model"
            | _ -> refuse $"is no linear map of the {family.Name} model: expected one of its blocks' or the head's"

    /// Adds an adapter to the matrices themselves.
    let private merge
        (store: WeightStore)
        (maps: Dictionary<string, struct (LinearEntry * Linear)>)
        (adapter: LoraAdapter)
        =
        for KeyValue(name, update) in adapter.Updates do
            let struct (entry, _) = maps[name]

            let magnitudes =
                match adapter.Magnitudes.TryGetValue name with
                | true, found -> Some found
                | _ -> None

            store.Change entry (PeftLora.merged entry.Transposed update magnitudes)

    /// What stands beside each map: copies of an adapter's matrices, which join those that the model will own, and what DoRA
    /// multiplies outputs by.
    let private beside
        (device: torch.Device)
        (owned: ResizeArray<Tensor>)
        (maps: Dictionary<string, struct (LinearEntry * Linear)>)
        (adapter: LoraAdapter)
        : Weights -> Weights =
        let keep (tensor: Tensor) =
            use _ = torch.NewDisposeScope()
            let kept = tensor.``to``(device).clone().DetachFromDisposeScope()
            owned.Add kept
            kept

        let updates =
            dict
                [ for KeyValue(name, update) in adapter.Updates do
                      name,
                      [ { update with
                            Down = keep update.Down
                            Up = keep update.Up } ] ]

        let factors =
            dict
                [ for KeyValue(name, magnitude) in adapter.Magnitudes do
                      use _ = torch.NewDisposeScope()
                      let struct (_, linear) = maps[name]
                      let update = List.head updates[name]
                      let norm = RowNorm.updated (RowNorm.squares linear) update linear
                      name, keep (magnitude.``to`` device / norm) ]

        Weights.withUpdates (fun name ->
            match updates.TryGetValue name with
            | true, found -> found
            | _ -> [])
        >> Weights.withRescale (fun name ->
            match factors.TryGetValue name with
            | true, factor -> Some factor
            | _ -> None)

    /// <summary>
    /// Loads a model folder: <c>config.json</c> and its safetensors weights. On a CPU and in the file's own dtype nothing
    /// is copied: the weights are the mapped file.
    /// </summary>
    /// <exception cref="T:System.IO.FileNotFoundException">A file is missing; the message says which was expected.</exception>
    /// <exception cref="T:System.IO.InvalidDataException">
    /// A file is not valid, or its tensors are not those of the model: all missing, unexpected and mis-shaped ones are listed.
    /// </exception>
    let loadWith (options: LoadOptions) (folder: string) : LoadedModel =
        Native.load ()
        let config = ConfigFile.ofFolder folder
        let family = Families.ofConfig config
        let eosIds = ConfigFile.eosIds folder config
        use weights = WeightFiles.Open folder

        let found =
            weights.Tensors
            |> List.map (fun (name, file, entry) -> family.Rename name, file, entry)

        let names =
            found
            |> List.map (fun (name, _, entry) -> name, (entry.Dtype, entry.Shape))
            |> matched family config folder

        let byName =
            dict (found |> List.map (fun (name, file, entry) -> name, struct (file, entry)))

        let dtype =
            names
            |> List.map (fun name ->
                let struct (_, entry) = byName[name]
                entry)
            |> dtypeFor options

        let rows =
            readOnlyDict
                [ for name in names do
                      let struct (file, entry) = byName[name]
                      name, struct (entry.Name, file) ]

        let store = new WeightStore(dtype, options.Device, options.Weights, rows)
        let owned = ResizeArray<Tensor>()

        try
            // What generation stops at is said by generation_config.json, where there is one.
            let build = family.Build { config with EosIds = eosIds }
            let plain = store.Weights
            let fingerprint = Fingerprint.ofWeights config weights

            let weights, fingerprint =
                match options.Lora with
                | None -> plain, fingerprint
                | Some lora ->
                    use adapter = PeftLora.load config lora.Folder
                    let maps = linearMaps build plain
                    requireFit family lora.Folder maps adapter

                    let weights =
                        if lora.Merge then
                            merge store maps adapter
                            plain
                        else
                            plain |> beside options.Device owned maps adapter

                    weights, PeftLora.fingerprint adapter fingerprint

            let model = build weights
            store.Complete()

            new LoadedModel(
                folder,
                model,
                (fun change -> weights |> change |> build),
                store,
                eosIds,
                fingerprint,
                List.ofSeq owned
            )
        with _ ->
            (store :> IDisposable).Dispose()

            for tensor in owned do
                tensor.Dispose()

            reraise ()

    /// <summary>Loads a model folder in the file's dtype, on the CPU; see <see cref="M:Reft.Core.CheckpointModule.loadWith"/>.</summary>
    let load (folder: string) : LoadedModel = loadWith (defaults ()) folder

    /// <summary>The classification head that a checkpoint brings, if it does.</summary>
    /// <param name="training">Which of its parameters are to be trained.</param>
    /// <param name="loaded">The checkpoint.</param>
    let classifier (training: HeadTraining) (loaded: LoadedModel) : Classifier option =
        match loaded.Config.Head with
        | CheckpointHead.Sequence task ->
            let head = (Families.ofConfig loaded.Config).SequenceHead

            Classifier.create
                training
                task
                loaded.Config.Hidden
                head
                (fun name -> Some loaded.Tensors[name])
                (Rng.ofSeed 0L)
            |> Some
        | CheckpointHead.Bare
        | CheckpointHead.Language -> None

    /// <summary>
    /// A fresh classification head for a model, drawn as transformers draws it. A layer of the base model, such as BERT's
    /// pooler, is taken from the checkpoint where it is there.
    /// </summary>
    /// <param name="training">Which of its parameters are to be trained.</param>
    /// <param name="task">What it predicts.</param>
    /// <param name="rng">What is drawn from.</param>
    /// <param name="loaded">The checkpoint.</param>
    let freshClassifier (training: HeadTraining) (task: SequenceTask) (rng: Rng) (loaded: LoadedModel) : Classifier =
        let head = (Families.ofConfig loaded.Config).SequenceHead

        let ofBase =
            head.Maps
            |> List.filter (fun map -> map.OfBase)
            |> List.collect (SequenceHead.shapes loaded.Config.Hidden task.Labels.Length head)
            |> List.map fst

        let find name =
            match loaded.Tensors.TryGetValue name with
            | true, tensor when List.contains name ofBase -> Some tensor
            | _ -> None

        Classifier.create training task loaded.Config.Hidden head find rng

    let private torchName (dtype: torch.ScalarType) =
        match dtype with
        | torch.ScalarType.BFloat16 -> "bfloat16"
        | torch.ScalarType.Float16 -> "float16"
        | _ -> "float32"

    /// <summary>
    /// Writes a model folder in Hugging Face's layout, which transformers reads too: <c>config.json</c>,
    /// <c>generation_config.json</c>, <c>model.safetensors</c>, atomically.
    /// </summary>
    /// <param name="folder">Made if need be; what else is in it stays.</param>
    /// <param name="config">The model's shape.</param>
    /// <param name="tensors">All its weights by name.</param>
    /// <exception cref="T:System.IO.InvalidDataException">They are not the model's: the message lists what is wrong.</exception>
    /// <exception cref="T:System.IO.IOException">Writing failed, e.g. because the disk is full: the old files are intact.</exception>
    let save (folder: string) (config: ModelConfig) (tensors: (string * Tensor) seq) : unit =
        let family = Families.ofConfig config
        let tensors = List.ofSeq tensors

        let names =
            tensors
            |> List.map (fun (name, tensor) ->
                let dtype =
                    SafetensorsDtype.tryName tensor.dtype
                    |> Option.defaultValue (string tensor.dtype)

                name, (dtype, List.ofArray tensor.shape))
            |> matched family config folder

        let dtype = tensors |> List.find (fun (name, _) -> name = List.head names) |> snd

        AtomicFile.writeAll
            folder
            [ "model.safetensors", Safetensors.writer (Map [ "format", "pt" ]) tensors
              ConfigFile.GenerationFileName, ConfigFile.generationWriter config
              ConfigFile.FileName, ConfigFile.writer (torchName dtype.dtype) config ]
