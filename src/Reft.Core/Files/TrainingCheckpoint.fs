namespace Reft.Core

open System
open System.Buffers.Binary
open System.Globalization
open System.IO
open System.Security.Cryptography
open System.Text
open System.Text.Json
open TorchSharp

/// <summary>A step that a run took, with the time it had taken by then.</summary>
type RecordedStep =
    {
        /// What the step did.
        Progress: FitProgress
        /// Seconds of training behind the run after it, without breaks.
        Seconds: float
    }

/// <summary>A run as it stood after a step: all that it needs to go on, and what it was.</summary>
[<NoEquality; NoComparison>]
type TrainingCheckpoint =
    {
        /// Where it stood; whoever has the checkpoint owns it.
        State: FitState
        /// Every step so far.
        Steps: RecordedStep list
        /// Whether nothing was left to do.
        Ended: bool
        /// What the run is.
        Identity: RunFacts
        /// Where it was computed.
        Environment: RunFacts
    }

/// <summary>What a checkpoint says of itself, without its tensors.</summary>
type CheckpointSummary =
    {
        /// The file.
        Path: string
        /// Steps that were taken.
        Taken: int
        /// The steps of the whole run.
        TotalSteps: int
        /// Whether nothing was left to do.
        Ended: bool
        /// What the run is.
        Identity: RunFacts
        /// Where it was computed.
        Environment: RunFacts
    }

/// <summary>
/// One file of a run: a safetensors file with θ, both moments, the best θ and the history, bit for bit, and all else as JSON
/// texts among its metadata. SHA-256 over all of it tells a damaged file. Nothing in it is executed.
/// </summary>
[<RequireQualifiedAccess>]
module TrainingCheckpoint =

    [<Literal>]
    let private FormatName = "reft training checkpoint"

    [<Literal>]
    let private FormatVersion = 1

    let private texts = [ "format"; "state"; "identity"; "environment" ]

    let private refuse (path: string) (message: string) : 'T =
        raise (InvalidDataException $"{path}: {message}")

    /// SHA-256 over texts and tensors, each with its length, so that nothing can move from one to the next.
    let private digest
        (metadata: Map<string, string>)
        (tensors: (TensorEntry * ((ReadOnlyMemory<byte> -> unit) -> unit)) list)
        =
        use hash = IncrementalHash.CreateHash HashAlgorithmName.SHA256

        let add (text: string) =
            let bytes = Encoding.UTF8.GetBytes text
            let length = Array.zeroCreate<byte> 8
            BinaryPrimitives.WriteInt64LittleEndian(length.AsSpan(), int64 bytes.Length)
            hash.AppendData length
            hash.AppendData bytes

        for name in texts do
            add name
            add metadata[name]

        for entry, feed in
            tensors
            |> List.sortWith (fun (a, _) (b, _) -> String.CompareOrdinal(a.Name, b.Name)) do
            let shape = String.Join(",", entry.Shape)
            add $"{entry.Name} {entry.Dtype} [{shape}]"
            feed (fun bytes -> hash.AppendData bytes.Span)

        "sha256:" + Convert.ToHexStringLower(hash.GetHashAndReset())

    let private chunk = 1L <<< 20

    let private feedTensor (tensor: Tensor) (append: ReadOnlyMemory<byte> -> unit) =
        use _ = torch.NewDisposeScope()
        let flat = tensor.view -1L

        for start in 0L .. chunk .. flat.numel () - 1L do
            use part = flat.narrow (0L, start, min chunk (flat.numel () - start))
            append (ReadOnlyMemory(part.bytes.ToArray()))

    let private feedEntry (file: SafetensorsFile) (entry: TensorEntry) (append: ReadOnlyMemory<byte> -> unit) =
        let buffer = Array.zeroCreate<byte>(int (min chunk entry.Bytes))

        for start in 0L .. chunk .. entry.Bytes - 1L do
            let count = int (min chunk (entry.Bytes - start))
            file.ReadBytes(entry, start, buffer.AsSpan(0, count))
            append (ReadOnlyMemory(buffer, 0, count))

    let private json (write: Utf8JsonWriter -> unit) =
        use stream = new MemoryStream()

        // It stands as a text in the JSON of the header, which escapes it once more.
        let readable =
            JsonWriterOptions(Encoder = System.Text.Encodings.Web.JavaScriptEncoder.UnsafeRelaxedJsonEscaping)

        (use writer = new Utf8JsonWriter(stream, readable)
         writer.WriteStartObject()
         write writer
         writer.WriteEndObject())

        Encoding.UTF8.GetString(stream.ToArray())

    let private factsJson (facts: RunFacts) =
        json (fun writer ->
            for name, value in facts do
                writer.WriteString(name, value))

    let private metricNames (steps: RecordedStep list) =
        steps
        |> Seq.collect (fun step -> step.Progress.Evaluation |> Seq.map fst)
        |> Seq.distinct
        |> Seq.toList

    /// JSON has no infinity and no NaN, and its numbers are read as people write them: these must come back to the bit.
    let private exact (number: float) =
        number.ToString("R", CultureInfo.InvariantCulture)

    let private stateJson (checkpoint: TrainingCheckpoint) =
        let state = checkpoint.State

        json (fun writer ->
            writer.WriteNumber("format_version", FormatVersion)
            writer.WriteString("library_version", Adapter.libraryVersion)
            writer.WriteNumber("taken", state.Taken)

            writer.WriteNumber(
                "total_steps",
                match List.tryLast checkpoint.Steps with
                | Some step -> step.Progress.TotalSteps
                | None -> state.Taken
            )

            writer.WriteBoolean("ended", checkpoint.Ended)
            writer.WriteNumber("optimizer_step", state.Train.Step)
            writer.WriteString("rng", state.Train.Rng.State.ToString CultureInfo.InvariantCulture)
            writer.WriteNumber("stale", state.Stale)
            writer.WriteNumber("skipped", state.Skipped)

            state.Best
            |> Option.iter (fun best ->
                writer.WriteStartObject "best"
                writer.WriteNumber("step", best.Step)
                writer.WriteString("value", exact best.Value)
                writer.WriteEndObject())

            writer.WriteStartArray "metrics"
            metricNames checkpoint.Steps |> List.iter writer.WriteStringValue
            writer.WriteEndArray())

    let private historyColumns = 8

    let private history (steps: RecordedStep list) =
        [| for step in steps do
               let report = step.Progress.Report
               float report.Step
               report.Loss
               report.GradientNorm
               report.LearningRate
               float report.Tokens
               (if report.Skipped then 1.0 else 0.0)
               step.Progress.Epoch
               step.Seconds |]

    /// Step, number of the metric, value: for each value of each evaluation.
    let private evaluations (steps: RecordedStep list) =
        let names = metricNames steps

        [| for step in steps do
               for name, value in step.Progress.Evaluation do
                   float step.Progress.Taken
                   float (List.findIndex ((=) name) names)
                   value |]

    let private table (columns: int) (numbers: float[]) : Tensor =
        torch.tensor(numbers, dtype = torch.float64).view(int64 (numbers.Length / columns), int64 columns)

    let private tensors (checkpoint: TrainingCheckpoint) =
        let state = checkpoint.State
        let host (tensor: Tensor) = tensor.detach().cpu().contiguous()

        [ "theta", host state.Train.Theta
          "first", host state.Train.Moments.First
          "second", host state.Train.Moments.Second
          match state.Best with
          | Some best -> "best", host best.Theta
          | None -> ()
          "history", history checkpoint.Steps |> table historyColumns
          "evaluations", evaluations checkpoint.Steps |> table 3 ]

    /// <summary>Writes a checkpoint atomically: a process that is killed meanwhile leaves the old file or the new one.</summary>
    /// <exception cref="T:System.IO.IOException">Writing failed, e.g. because the disk is full: the old file is intact.</exception>
    let write (path: string) (checkpoint: TrainingCheckpoint) : unit =
        use _ = torch.NewDisposeScope()
        let tensors = tensors checkpoint

        let metadata =
            Map
                [ "format", FormatName
                  "state", stateJson checkpoint
                  "identity", factsJson checkpoint.Identity
                  "environment", factsJson checkpoint.Environment ]

        let entries =
            [ for name, tensor in tensors ->
                  { Name = name
                    Dtype =
                      SafetensorsDtype.tryName tensor.dtype
                      |> Option.defaultValue (string tensor.dtype)
                    Shape = List.ofArray tensor.shape
                    Begin = 0L
                    End = 0L },
                  feedTensor tensor ]

        let metadata = metadata |> Map.add "sha256" (digest metadata entries)
        Safetensors.write path metadata tensors

    /// The metadata and the parsed state of a file whose hash is right.
    let private verified (file: SafetensorsFile) =
        let path = file.Path
        let metadata = file.Metadata

        for name in "sha256" :: texts do
            if not (metadata.ContainsKey name) then
                refuse path $"expected a training checkpoint, whose metadata has '{name}', found none"

        let format = metadata["format"]

        if format <> FormatName then
            refuse path $"expected the format '{FormatName}' in the metadata, found '{format}'"

        let found =
            digest metadata [ for entry in file.Tensors -> entry, feedEntry file entry ]

        let expected = metadata["sha256"]

        if expected <> found then
            refuse path $"it is damaged: expected the hash {expected} of its content, found {found}"

        let parsed name =
            JsonValue.parse $"{path}, '{name}'" (ReadOnlyMemory(Encoding.UTF8.GetBytes metadata[name]))

        let facts name =
            [ for key, value in parsed name |> JsonValue.fields -> key, JsonValue.string value ]

        let state = parsed "state"

        // An older library can only say that it does not know what a newer one wrote.
        match state |> JsonValue.field "format_version" |> JsonValue.int 1 Int32.MaxValue with
        | FormatVersion -> ()
        | version ->
            refuse
                path
                $"expected format version {FormatVersion}, found {version}: it was written by a newer version of Reft"

        struct (state, facts "identity", facts "environment")

    let private summary (path: string) struct (state, identity, environment) : CheckpointSummary =
        let count name =
            state |> JsonValue.field name |> JsonValue.int 0 Int32.MaxValue

        { Path = path
          Taken = count "taken"
          TotalSteps = count "total_steps"
          Ended = state |> JsonValue.field "ended" |> JsonValue.bool
          Identity = identity
          Environment = environment }

    /// <summary>What a file says of itself, once its hash was found to be right.</summary>
    /// <exception cref="T:System.IO.FileNotFoundException">There is no such file.</exception>
    /// <exception cref="T:System.IO.InvalidDataException">It is no checkpoint, or a damaged one; the message says why.</exception>
    let summarize (path: string) : CheckpointSummary =
        use file = SafetensorsFile.Open path
        verified file |> summary path

    /// A tensor of a dtype and shape that are known before anything of it is read.
    let private tensor (file: SafetensorsFile) name dtype (shape: int64 list) =
        match file.TryFind name with
        | Some entry when entry.Dtype = dtype && entry.Shape = shape -> file.ReadCopy name
        | found ->
            let side (shape: int64 list) = String.Join(", ", shape)

            let found =
                match found with
                | Some entry -> $"{entry.Dtype} [{side entry.Shape}]"
                | None -> "none"

            refuse file.Path $"tensor '{name}': expected {dtype} [{side shape}], found {found}"

    let private parsedText (what: string) (parse: string -> bool * 'T) (value: JsonValue) : 'T =
        match value |> JsonValue.string |> parse with
        | true, found -> found
        | _ -> raise (JsonValue.unexpected what value)

    let private number: string -> bool * float =
        fun text -> Double.TryParse(text, NumberStyles.Float, CultureInfo.InvariantCulture)

    let private steps (file: SafetensorsFile) (taken: int) (total: int) (metrics: string list) : RecordedStep list =
        let rows name columns =
            let count =
                match file.TryFind name with
                | Some { Shape = [ count; _ ] } -> count
                | _ -> 0L

            (tensor file name "F64" [ count; int64 columns ]).data<float>().ToArray()
            |> Array.chunkBySize columns

        let history = rows "history" historyColumns

        if history.Length <> taken then
            refuse file.Path $"tensor 'history': expected a row for each of {taken} steps, found {history.Length}"

        let names = List.toArray metrics

        let evaluations =
            rows "evaluations" 3
            |> Array.map (fun row ->
                if not (row[1] >= 0.0 && row[1] < float names.Length) then
                    refuse
                        file.Path
                        $"tensor 'evaluations': expected the number of one of {names.Length} metrics, found {row[1]}"

                row[0], (names[int row[1]], row[2]))
            |> Array.groupBy fst
            |> Array.map (fun (step, values) -> step, values |> Array.map snd |> Array.toList)
            |> Map

        [ for i, row in Array.indexed history ->
              { Progress =
                  { Report =
                      { Step = int row[0]
                        Loss = row[1]
                        GradientNorm = row[2]
                        LearningRate = row[3]
                        Tokens = int row[4]
                        Skipped = row[5] <> 0.0 }
                    Taken = i + 1
                    TotalSteps = total
                    Epoch = row[6]
                    Evaluation = evaluations |> Map.tryFind (float (i + 1)) |> Option.defaultValue [] }
                Seconds = row[7] } ]

    /// <summary>Reads a checkpoint of a run; its state belongs to the caller.</summary>
    /// <param name="identity">What the run is: the file's must be the same.</param>
    /// <param name="start">The run's start, whose layout and device the state gets.</param>
    /// <param name="path">The file.</param>
    /// <returns>The checkpoint, or what is different of the run that wrote it.</returns>
    /// <exception cref="T:System.IO.FileNotFoundException">There is no such file.</exception>
    /// <exception cref="T:System.IO.InvalidDataException">It is no checkpoint, or a damaged one; the message says why.</exception>
    let read (identity: RunFacts) (start: TrainState) (path: string) : Result<TrainingCheckpoint, string list> =
        use file = SafetensorsFile.Open path
        let struct (state, found, environment) as content = verified file
        let summary = summary path content

        match RunFacts.differences found identity with
        | [] ->
            use _ = torch.NewDisposeScope()
            let device = start.Theta.device
            let size = start.Layout.TrainableCount

            // The scope frees it unless everything could be read.
            let vector name =
                (tensor file name "F32" [ size ]).``to`` device

            let count name =
                state |> JsonValue.field name |> JsonValue.int 0 Int32.MaxValue

            let metrics =
                state
                |> JsonValue.field "metrics"
                |> JsonValue.items
                |> List.map JsonValue.string

            let steps = steps file summary.Taken summary.TotalSteps metrics

            let rng =
                state
                |> JsonValue.field "rng"
                |> parsedText "a whole number of 64 bits, as a text" (fun text ->
                    UInt64.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture))

            let best =
                state
                |> JsonValue.tryField "best"
                |> Option.map (fun best ->
                    { Step = best |> JsonValue.field "step" |> JsonValue.int 0 Int32.MaxValue
                      Value = best |> JsonValue.field "value" |> parsedText "a number, as a text" number
                      Theta = vector "best" })

            let read: FitState =
                { Train =
                    { Layout = start.Layout
                      Theta = vector "theta"
                      Moments =
                        { First = vector "first"
                          Second = vector "second" }
                      Step = count "optimizer_step"
                      Rng = { State = rng } }
                  Taken = summary.Taken
                  Best = best
                  Stale = count "stale"
                  Skipped = count "skipped" }

            for tensor in
                [ read.Train.Theta; read.Train.Moments.First; read.Train.Moments.Second ]
                @ (best |> Option.map _.Theta |> Option.toList) do
                tensor.DetachFromDisposeScope() |> ignore

            Ok
                { State = read
                  Steps = steps
                  Ended = summary.Ended
                  Identity = found
                  Environment = environment }
        | differences -> Error differences
