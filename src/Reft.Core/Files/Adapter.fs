namespace Reft.Core

open System
open System.IO
open System.Security.Cryptography
open System.Text.Json
open TorchSharp

/// <summary>
/// A trained spec: what is attached where, its parameters, a classification head if it has one, and the base model that it
/// was trained on. It owns its parameters.
/// </summary>
[<Sealed>]
type Adapter
    (
        spec: ReftSpec,
        parameters: Parameters,
        tuning: (ModelTuning * Parameters) option,
        classifier: Classifier option,
        baseFamily: string,
        baseFingerprint: string,
        libraryVersion: string
    ) =

    /// <summary>What is attached where.</summary>
    member _.Spec: ReftSpec = spec

    /// <summary>The parameters of its interventions, constants included.</summary>
    member _.Parameters: Parameters = parameters

    /// <summary>How the model itself was tuned, and the parameters of that; <c>None</c> where it was not.</summary>
    member _.Tuning: (ModelTuning * Parameters) option = tuning

    /// <summary>The classification head that was saved with them, if there was one.</summary>
    member _.Classifier: Classifier option = classifier

    /// <summary>The family of the model it was trained on.</summary>
    member _.BaseFamily: string = baseFamily

    /// <summary>The fingerprint of the model it was trained on; see <see cref="T:Reft.Core.Fingerprint"/>.</summary>
    member _.BaseFingerprint: string = baseFingerprint

    /// <summary>The version of the library that wrote it.</summary>
    member _.LibraryVersion: string = libraryVersion

    interface IDisposable with
        member _.Dispose() =
            Parameters.dispose parameters
            tuning |> Option.iter (snd >> Parameters.dispose)
            classifier |> Option.iter (fun head -> Parameters.dispose head.Parameters)

/// <summary>
/// Adapters on disk: a folder with <c>reft.json</c>, which says what they are, and <c>reft.safetensors</c>, which holds
/// their parameters. Nothing in them is executed.
/// </summary>
[<RequireQualifiedAccess>]
module Adapter =

    [<Literal>]
    let private FormatVersion = 1

    [<Literal>]
    let private Manifest = "reft.json"

    [<Literal>]
    let private Weights = "reft.safetensors"

    [<Literal>]
    let private LargestManifest = 16_777_216

    /// <summary>The version of this library, as adapters record it.</summary>
    let libraryVersion: string =
        match typeof<Adapter>.Assembly.GetName().Version with
        | null -> "0.0.0"
        | version -> version.ToString 3

    /// Ties the two files of a folder to each other: they are renamed one after the other, and a process may die between.
    let private hashText (hash: byte[]) =
        "sha256:" + Convert.ToHexStringLower hash

    /// The hash of what is written into a stream.
    let private hashWritten (write: Stream -> unit) =
        use hash = SHA256.Create()
        use sink = new CryptoStream(Stream.Null, hash, CryptoStreamMode.Write)
        write sink
        sink.FlushFinalBlock()

        match hash.Hash with
        | null -> invalidOp "a stream that was written to its end has a hash"
        | found -> hashText found

    let private manifest
        (spec: ReftSpec)
        (parameters: Parameters)
        (tuning: ModelTuning option)
        (classifier: Classifier option)
        (config: ModelConfig)
        (fingerprint: string)
        (weightsHash: string)
        (stream: Stream)
        =
        // Its own encoder would write the + of f7+l7 as an escape.
        let readable = System.Text.Encodings.Web.JavaScriptEncoder.UnsafeRelaxedJsonEscaping

        use writer =
            new Utf8JsonWriter(stream, JsonWriterOptions(Indented = true, Encoder = readable))

        writer.WriteStartObject()
        writer.WriteNumber("format_version", FormatVersion)
        writer.WriteString("library_version", libraryVersion)
        writer.WriteStartObject "base_model"
        writer.WriteString("model_type", config.Family)

        // For those who read an adapter without its base model.
        Families.tryFind config.Family
        |> Option.iter (fun family -> writer.WriteNumber("parameters", Families.parameterCount config family))

        writer.WriteString("fingerprint", fingerprint)
        writer.WriteEndObject()
        writer.WriteString("dtype", "float32")
        writer.WriteNumber("trainable_parameters", parameters.TrainableCount)
        writer.WriteString("weights", weightsHash)

        tuning
        |> Option.iter (fun tuning ->
            writer.WritePropertyName "tuning"
            FormJson.write writer tuning.Form)

        classifier |> Option.iter (HeadJson.write writer)
        writer.WritePropertyName "placements"
        SpecJson.write writer spec
        writer.WriteEndObject()

    /// <summary>
    /// Writes an adapter with what tunes the model itself and a classification head. An older one in the same folder is
    /// replaced only when the new one is completely on the disk.
    /// </summary>
    /// <param name="tuning">How the model itself is tuned; <c>None</c> where it is not.</param>
    /// <param name="classifier">The head, with the values that are saved; <c>None</c> for an adapter without one.</param>
    /// <param name="folder">Made if need be.</param>
    /// <param name="config">The base model's shape.</param>
    /// <param name="fingerprint">The base model's fingerprint.</param>
    /// <param name="spec">What is attached where; may be empty.</param>
    /// <param name="parameters">
    /// The parameters of its interventions and of the tuning; those of the head may be among them, and count there.
    /// </param>
    /// <exception cref="T:System.ArgumentException">A parameter is not finite.</exception>
    /// <exception cref="T:System.IO.IOException">Writing failed, e.g. because the disk is full: the old files are intact.</exception>
    let saveTuned
        (tuning: ModelTuning option)
        (classifier: Classifier option)
        (folder: string)
        (config: ModelConfig)
        (fingerprint: string)
        (spec: ReftSpec)
        (parameters: Parameters)
        : unit =
        use _ = torch.NewDisposeScope()

        let parameters =
            match classifier with
            | None -> parameters
            | Some head ->
                parameters.Entries
                |> Seq.filter (fun p -> (head.Parameters.TryFind p.Name).IsNone)
                |> Parameters

        let all =
            [ yield! parameters.Entries
              yield!
                  classifier
                  |> Option.map (fun head -> head.Parameters.Entries |> Seq.toList)
                  |> Option.defaultValue [] ]

        for p in all do
            if not (p.Value.isfinite().all().item<bool>()) then
                invalidArg
                    (nameof parameters)
                    $"the parameter '{p.Name}' is not finite: such an adapter would be of no use"

        let tensors = [ for p in all -> p.Name, p.Value.detach().``to`` torch.float32 ]

        // The manifest names the weights' hash. Their writer gives the same bytes every time: once to be hashed, once into
        // the file.
        let weights = Safetensors.writer (Map [ "format", "reft" ]) tensors

        AtomicFile.writeAll
            folder
            [ Weights, weights
              Manifest, manifest spec parameters tuning classifier config fingerprint (hashWritten weights) ]

    /// <summary>Writes an adapter with a classification head; see <see cref="M:Reft.Core.AdapterModule.saveTuned"/>.</summary>
    let saveWithHead
        (classifier: Classifier option)
        (folder: string)
        (config: ModelConfig)
        (fingerprint: string)
        (spec: ReftSpec)
        (parameters: Parameters)
        : unit =
        saveTuned None classifier folder config fingerprint spec parameters

    /// <summary>Writes an adapter of interventions alone; see <see cref="M:Reft.Core.AdapterModule.saveWithHead"/>.</summary>
    let save
        (folder: string)
        (config: ModelConfig)
        (fingerprint: string)
        (spec: ReftSpec)
        (parameters: Parameters)
        : unit =
        saveWithHead None folder config fingerprint spec parameters

    /// Every difference between the parameters that the spec has and those in the file, or the file's.
    let private matched (path: string) (expected: Parameters) (found: Map<string, Tensor>) =
        let shape (t: Tensor) = "[" + String.Join(", ", t.shape) + "]"

        let complaints =
            [ for p in expected.Entries do
                  match found.TryFind p.Name with
                  | None -> $"missing {p.Name} {shape p.Value}"
                  | Some t when t.shape <> p.Value.shape || t.dtype <> torch.float32 ->
                      $"{p.Name}: expected F32 {shape p.Value}, found {t.dtype} {shape t}"
                  | Some t when not (t.isfinite().all().item<bool>()) -> $"{p.Name} holds numbers that are not finite"
                  | Some _ -> ()
              for KeyValue(name, t) in found do
                  if (expected.TryFind name).IsNone then
                      $"unexpected {name} {shape t}" ]

        if not complaints.IsEmpty then
            let all = String.concat "; " complaints
            raise (InvalidDataException $"{path} does not hold the parameters that {Manifest} describes: {all}")

        expected.Entries
        |> Seq.map (fun p -> { p with Value = found[p.Name] })
        |> Parameters
        |> Parameters.keep

    /// A spec that asks for more than this many times the numbers that the weights have, and a million more, is not the
    /// spec of those weights; below, all differences are listed.
    [<Literal>]
    let private LargestExcess = 4L

    /// Refuses a spec whose parameters would be far more than the file of the weights holds, before they are made.
    let private requireSize (file: SafetensorsFile) (config: ModelConfig) (registry: Registry) (spec: ReftSpec) =
        let found = file.Tensors |> List.sumBy (fun entry -> List.fold (*) 1L entry.Shape)

        let limit = LargestExcess * found + 1_000_000L

        if not (SpecSize.isAtMost limit registry config spec) then
            raise (
                InvalidDataException
                    $"{file.Path} does not hold the parameters that {Manifest} describes: it holds {found} numbers, and the spec has more than {limit}"
            )

    let private readManifest (folder: string) =
        let path = Path.Combine(folder, Manifest)

        if not (File.Exists path) then
            raise (
                FileNotFoundException(
                    $"{folder} is not an adapter: it has no {Manifest}. Expected a folder that this library saved",
                    path
                )
            )

        let root = JsonValue.read LargestManifest path
        let version = root |> JsonValue.field "format_version"

        match JsonValue.natural version with
        | 1L -> root
        | newer when newer > int64 FormatVersion ->
            raise (
                InvalidDataException
                    $"{path}: format_version {newer} is newer than this library reads ({FormatVersion}): update Reft to load it"
            )
        | _ -> raise (JsonValue.unexpected $"the format version {FormatVersion}" version)

    let private read
        (tuningOf: JsonValue -> ModelTuning * Parameters)
        (registry: Registry)
        (fingerprint: string option)
        (config: ModelConfig)
        (folder: string)
        : Adapter =
        Native.load ()
        use _ = torch.NewDisposeScope()
        let root = readManifest folder
        let path = Path.Combine(folder, Manifest)
        let baseModel = root |> JsonValue.field "base_model"
        let trainedOn = baseModel |> JsonValue.field "fingerprint" |> JsonValue.string

        match fingerprint with
        | Some expected when expected <> trainedOn ->
            raise (
                InvalidDataException
                    $"{path}: the adapter was trained on another base model: expected the fingerprint {expected} of the loaded model, found {trainedOn}. Load the model it was trained on, or override the check if you know that they are the same"
            )
        | _ -> ()

        let spec = root |> JsonValue.field "placements" |> SpecJson.read registry

        let blank = root |> JsonValue.tryField "head" |> Option.map (HeadJson.read config)

        let tuned = root |> JsonValue.tryField "tuning" |> Option.map tuningOf

        let weights = Path.Combine(folder, Weights)

        if not (File.Exists weights) then
            raise (
                FileNotFoundException(
                    $"{weights} is missing: the adapter's parameters should stand beside {Manifest}",
                    weights
                )
            )

        // Open throughout, so that what is hashed is what is loaded.
        use file = SafetensorsFile.Open weights

        let fresh =
            try
                ReftSpec.validate config spec
                requireSize file config registry spec
                Reft.init spec config (Rng.ofSeed 0L)
            with :? ArgumentException as e ->
                raise (InvalidDataException($"{path}: the adapter does not fit the model: {e.Message}", e))

        let expectedParameters =
            Parameters.concat
                [ fresh
                  match tuned with
                  | Some(_, blank) -> blank
                  | None -> Parameters.empty
                  match blank with
                  | Some head -> head.Parameters
                  | None -> Parameters.empty ]

        let parameters = file.Copies() |> matched weights expectedParameters
        let expected = root |> JsonValue.field "weights" |> JsonValue.string
        let found = file.Hash() |> hashText

        if found <> expected then
            Parameters.dispose parameters

            raise (
                InvalidDataException
                    $"{weights} does not belong to {path}: expected {expected}, found {found}. Saving was interrupted between the two files, or one was replaced: restore both from one save"
            )

        let within (names: Parameters) =
            parameters.Entries
            |> Seq.filter (fun p -> (names.TryFind p.Name).IsSome)
            |> Parameters

        new Adapter(
            spec,
            within fresh,
            tuned |> Option.map (fun (tuning, blank) -> tuning, within blank),
            blank |> Option.map (Classifier.withParameters parameters),
            baseModel |> JsonValue.field "model_type" |> JsonValue.string,
            trainedOn,
            root |> JsonValue.field "library_version" |> JsonValue.string
        )

    /// <summary>Reads an adapter of interventions, and perhaps a classification head, for a base model.</summary>
    /// <param name="registry">The interventions that it may name; <see cref="P:Reft.Core.RegistryModule.standard"/> and your own.</param>
    /// <param name="fingerprint">The base model's fingerprint; <c>None</c> takes the adapter whatever it was trained on.</param>
    /// <param name="config">The base model's shape.</param>
    /// <param name="folder">Where it was saved.</param>
    /// <exception cref="T:System.IO.FileNotFoundException">A file is missing.</exception>
    /// <exception cref="T:System.IO.InvalidDataException">
    /// A file is damaged, was written by a newer version, was trained on another base model, or its parameters are not
    /// those of its spec: all differences are listed. Or it tunes the model itself, which needs the model:
    /// <see cref="M:Reft.Core.AdapterModule.loadOn"/>.
    /// </exception>
    let load (registry: Registry) (fingerprint: string option) (config: ModelConfig) (folder: string) : Adapter =
        read
            (fun value ->
                raise (
                    InvalidDataException
                        $"{value.File}: the adapter also tunes the model itself ({FormJson.read value}): load it with Adapter.loadOn, which is given the model"
                ))
            registry
            fingerprint
            config
            folder

    /// <summary>Reads an adapter for a model that is loaded, with what tunes the model itself.</summary>
    /// <param name="registry">The interventions that it may name; <see cref="P:Reft.Core.RegistryModule.standard"/> and your own.</param>
    /// <param name="anyBase">Whether to take the adapter whatever it was trained on.</param>
    /// <param name="loaded">The base model.</param>
    /// <param name="folder">Where it was saved.</param>
    /// <exception cref="T:System.IO.FileNotFoundException">A file is missing.</exception>
    /// <exception cref="T:System.IO.InvalidDataException">
    /// A file is damaged, was written by a newer version, was trained on another base model, or its parameters are not
    /// those of its spec and tuning: all differences are listed.
    /// </exception>
    let loadOn (registry: Registry) (anyBase: bool) (loaded: LoadedModel) (folder: string) : Adapter =
        read
            (fun value ->
                try
                    let tuning = FormJson.read value |> Tunings.ofForm
                    tuning, tuning.Blank loaded
                with
                | :? ArgumentException
                | :? InvalidOperationException as e ->
                    raise (InvalidDataException($"{value.File}: key '{value.Key}': {e.Message}", e)))
            registry
            (if anyBase then None else Some loaded.Fingerprint)
            loaded.Config
            folder
