namespace Reft.Core

open System
open System.Diagnostics
open System.Globalization
open System.IO
open System.Runtime.InteropServices
open System.Runtime.Intrinsics.X86
open System.Security.Cryptography
open System.Text
open System.Text.Json
open Microsoft.FSharp.Reflection
open TorchSharp

/// <summary>What is known of a run, as texts by name: what it is, or where it computes.</summary>
type RunFacts = (string * string) list

/// <summary>Gathering and comparing what is known of runs.</summary>
[<RequireQualifiedAccess>]
module RunFacts =

    let rec private text (value: obj | null) : string =
        match value with
        | null -> "none"
        | :? float as number -> number.ToString("R", CultureInfo.InvariantCulture)
        | value when FSharpType.IsRecord(value.GetType()) ->
            let fields = FSharpType.GetRecordFields(value.GetType())

            Array.zip fields (FSharpValue.GetRecordFields value)
            |> Array.map (fun (field, value) -> $"{field.Name} {text value}")
            |> String.concat ", "
        | value when FSharpType.IsUnion(value.GetType()) ->
            let case, fields = FSharpValue.GetUnionFields(value, value.GetType())

            (if case.Name = "Some" then [] else [ case.Name ])
            @ (fields |> Array.map text |> List.ofArray)
            |> String.concat " "
        | value -> Convert.ToString(value, CultureInfo.InvariantCulture) |> string

    /// <summary>Every option of a run. Read off the type, so that an option that is added later counts too.</summary>
    let options (options: FitOptions) : RunFacts =
        let fields = FSharpType.GetRecordFields typeof<FitOptions>

        Array.zip fields (FSharpValue.GetRecordFields options)
        |> Array.map (fun (field, value) -> field.Name, text value)
        |> Array.toList

    let private hashed (append: IncrementalHash -> unit) =
        use hash = IncrementalHash.CreateHash HashAlgorithmName.SHA256
        append hash
        "sha256:" + Convert.ToHexStringLower(hash.GetHashAndReset())

    /// <summary>The number of examples, and SHA-256 over all that they hold. It reads each once.</summary>
    let examples (examples: Example seq) : string =
        let mutable count = 0

        let hash =
            hashed (fun hash ->
                let ints (values: int[]) =
                    hash.AppendData(BitConverter.GetBytes values.Length)
                    hash.AppendData(MemoryMarshal.AsBytes(ReadOnlySpan values))

                for example in examples do
                    count <- count + 1
                    ints example.Ids
                    ints example.Labels
                    ints [| example.Prompt |]
                    ints (List.toArray example.Subspaces)
                    ints example.Segments

                    match example.Target with
                    | None -> ints [||]
                    | Some(RowTarget.Label label) -> ints [| 0; label |]
                    | Some(RowTarget.Labels labels) -> ints (Array.ofList (1 :: labels))
                    | Some(RowTarget.Values values) ->
                        ints [| 2 |]
                        let values = List.toArray values
                        hash.AppendData(MemoryMarshal.AsBytes(ReadOnlySpan values)))

        $"{count} rows, {hash}"

    /// The parameters' names, shapes and roles, and the values of those that are never trained.
    let private layout (parameters: Parameters) : RunFacts =
        use _ = torch.NewDisposeScope()

        let lines =
            [ for p in parameters.Entries ->
                  let shape = String.Join("×", p.Value.shape)
                  $"{p.Name} [{shape}] {text p.Role}" ]

        let constants =
            hashed (fun hash ->
                for p in parameters.Entries do
                    if not p.IsTrainable then
                        let value = p.Value.detach().cpu().contiguous()
                        hash.AppendData(Encoding.UTF8.GetBytes(p.Name + "\n"))
                        hash.AppendData(Span.op_Implicit value.bytes: ReadOnlySpan<byte>))

        [ "Parameters", String.concat "; " lines; "Constants", constants ]

    let private specText (spec: ReftSpec) =
        use stream = new MemoryStream()

        let readable =
            JsonWriterOptions(Encoder = System.Text.Encodings.Web.JavaScriptEncoder.UnsafeRelaxedJsonEscaping)

        (use writer = new Utf8JsonWriter(stream, readable)
         SpecJson.write writer spec)

        Encoding.UTF8.GetString(stream.ToArray())

    /// <summary>
    /// What a run is: two runs with the same facts take the same steps. What its loss is, where there is a choice, and the
    /// rows that are held out, are for the caller to add.
    /// </summary>
    /// <param name="model">The fingerprint of the base model and the dtype it computes in.</param>
    /// <param name="spec">What is attached where.</param>
    /// <param name="fit">Its options.</param>
    /// <param name="task">What it learns.</param>
    /// <param name="start">Where it starts; of its parameters the names, shapes, roles and constants count.</param>
    let ofRun (model: string) (spec: ReftSpec) (fit: FitOptions) (task: FitTask) (start: TrainState) : RunFacts =
        [ "Model", model
          "Interventions", specText spec
          yield! layout start.Layout
          "Data", examples task.Examples
          "Random stream", $"{start.Rng.State:x16}"
          yield! options fit ]

    /// The name that Linux gives the processor.
    let private processor () =
        try
            File.ReadLines "/proc/cpuinfo"
            |> Seq.tryFind (fun line -> line.StartsWith("model name", StringComparison.Ordinal))
            |> Option.map (fun line -> line.Substring(line.IndexOf ':' + 1).Trim())
        with
        | :? IOException
        | :? UnauthorizedAccessException -> None
        |> Option.defaultValue (RuntimeInformation.ProcessArchitecture.ToString())

    /// The widest vectors that libtorch's own kernels may use here: it has versions of them for these.
    let private vectors () =
        if Avx512F.IsSupported && Avx512BW.IsSupported && Avx512DQ.IsSupported then
            "AVX512"
        elif Avx2.IsSupported && Fma.IsSupported then
            "AVX2"
        else
            "baseline"

    /// Variables that restrict the instructions of libtorch and of the libraries in it.
    let private restrictions () =
        [ "ATEN_CPU_CAPABILITY"
          "ONEDNN_MAX_CPU_ISA"
          "DNNL_MAX_CPU_ISA"
          "MKL_CBWR"
          "MKL_ENABLE_INSTRUCTIONS" ]
        |> List.choose (fun name ->
            match Environment.GetEnvironmentVariable name with
            | null -> None
            | value -> Some $"{name}={value}")
        |> String.concat " "

    /// libtorch's version, and the size of its library: a build of another kind has another.
    let private libtorch () =
        use self = Process.GetCurrentProcess()

        self.Modules
        |> Seq.cast<ProcessModule>
        |> Seq.tryFind (fun m -> (string m.ModuleName).Contains("torch_cpu", StringComparison.Ordinal))
        |> Option.map (fun m -> $", {Path.GetFileName m.FileName} of {FileInfo(string m.FileName).Length} bytes")
        |> Option.defaultValue ""
        |> (+) (string torch.__version__)

    /// <summary>
    /// What the last bits of a run's numbers depend on besides the run itself: where they differ, a run that goes on may part
    /// from the one that was never broken.
    /// </summary>
    /// <param name="device">Where it computes.</param>
    let environment (device: torch.Device) : RunFacts =
        Native.load ()

        [ "threads", string (torch.get_num_threads ())
          "libtorch", libtorch ()
          "CPU capability", (vectors () + " " + restrictions ()).TrimEnd()
          "processor", processor ()
          "device", string device
          "system", RuntimeInformation.RuntimeIdentifier ]

    /// A text as a message can hold it: where two long ones differ, from a little before that.
    let private shown (other: string) (text: string) =
        let longest = 80

        if text.Length <= longest then
            text
        else
            let same = Seq.zip text other |> Seq.takeWhile (fun (a, b) -> a = b) |> Seq.length

            let start = max 0 (min (same - longest / 4) (text.Length - longest))
            let before = if start > 0 then "…" else ""
            let behind = if start + longest < text.Length then "…" else ""
            before + text.Substring(start, longest) + behind

    /// <summary>One line for each fact that is not the same in both.</summary>
    /// <param name="recorded">What a checkpoint says.</param>
    /// <param name="current">What is now.</param>
    let differences (recorded: RunFacts) (current: RunFacts) : string list =
        let value name (facts: RunFacts) =
            facts
            |> List.tryFind (fun (other, _) -> other = name)
            |> Option.map snd
            |> Option.defaultValue "nothing"

        List.append recorded current
        |> List.map fst
        |> List.distinct
        |> List.choose (fun name ->
            let before, now = value name recorded, value name current

            if before = now then
                None
            else
                Some $"{name}: {shown now before} in the checkpoint, {shown before now} here")
