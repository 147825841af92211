namespace Reft.Core

open System
open System.Collections.Generic
open System.IO
open TorchSharp

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
    }

/// <summary>A model with its weights, which it owns: dispose it when the model is done.</summary>
[<Sealed>]
type LoadedModel
    internal
    (folder: string, model: Transformer, store: WeightStore, format: WeightFormat, eosIds: int list, fingerprint: string)
    =

    /// <summary>The folder it was loaded from.</summary>
    member _.Folder: string = folder

    /// <summary>The model itself.</summary>
    member _.Model: Transformer = model

    /// <summary>Its shape.</summary>
    member _.Config: ModelConfig = model.Config

    /// <summary>
    /// Its weights by their names in the file. A matrix that was loaded as int8 is its whole numbers [out, in], without what
    /// its rows are multiplied by.
    /// </summary>
    member _.Tensors: IReadOnlyDictionary<string, Tensor> = store.Tensors

    /// <summary>How the matrices of its blocks are kept.</summary>
    member _.Weights: WeightFormat = format

    /// <summary>What its weights take, in bytes, whether in the process's own memory or in the mapped file.</summary>
    member _.WeightBytes: int64 =
        Seq.append store.Tensors.Values store.Scales.Values
        |> Seq.sumBy (fun tensor -> tensor.numel () * tensor.element_size ())

    /// <summary>The tokens that end a generation.</summary>
    member _.EosIds: int list = eosIds

    /// <summary>What tells it from other base models; see <see cref="T:Reft.Core.Fingerprint"/>.</summary>
    member _.Fingerprint: string = fingerprint

    interface IDisposable with
        member _.Dispose() = (store :> IDisposable).Dispose()

/// <summary>Models as Hugging Face folders.</summary>
[<RequireQualifiedAccess>]
module Checkpoint =

    let private weightDtypes = [ "F32"; "F16"; "BF16" ]

    /// <summary>The file's dtype, on the CPU, weights as they are stored.</summary>
    let defaults () : LoadOptions =
        Native.load ()

        { Dtype = None
          Device = torch.CPU
          Weights = WeightFormat.AsStored }

    let private shapeText (shape: int64 list) = "[" + String.Join(", ", shape) + "]"

    /// All that is wrong with a table of tensors, or the table in the family's order.
    let private matched (family: Family) (config: ModelConfig) folder (found: (string * (string * int64 list)) list) =
        let expected = family.Tensors config

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

        let store = new WeightStore(dtype, options.Device, rows)

        try
            // What generation stops at is said by generation_config.json, where there is one.
            let model =
                family.Build { config with EosIds = eosIds } (store.Weights options.Weights)

            store.Complete()
            new LoadedModel(folder, model, store, options.Weights, eosIds, Fingerprint.ofWeights config weights)
        with _ ->
            (store :> IDisposable).Dispose()
            reraise ()

    /// <summary>Loads a model folder in the file's dtype, on the CPU; see <see cref="M:Reft.Core.CheckpointModule.loadWith"/>.</summary>
    let load (folder: string) : LoadedModel = loadWith (defaults ()) folder

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
