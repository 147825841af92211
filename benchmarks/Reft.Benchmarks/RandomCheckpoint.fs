/// Writes a checkpoint of random weights in bf16, a piece of a tensor at a time: memory stays small whatever the model's size.
module Reft.Benchmarks.RandomCheckpoint

open System
open System.IO
open System.Runtime.InteropServices
open System.Text.Json
open TorchSharp
open Reft.Core

module private Posix =
    [<DllImport("libc", EntryPoint = "posix_fadvise")>]
    extern int advise(Microsoft.Win32.SafeHandles.SafeFileHandle descriptor, int64 offset, int64 length, int advice)

/// Larger checkpoints are cut as the hub's are.
[<Literal>]
let private ShardBytes = 10_000_000_000L

/// Numbers that are drawn, 64 MB of bf16; every tensor reads them in a circle, from a place of its own. A prime, so that
/// rows of a matrix differ.
[<Literal>]
let private Drawn = 33_554_393L

let private bytesOf (shape: int64 list) = List.fold (*) 2L shape

/// Bytes that the weights take.
let bytes (config: ModelConfig) : int64 =
    Llama.tensors config |> List.sumBy (snd >> bytesOf)

let private shards (config: ModelConfig) : (string * TensorEntry list) list =
    let groups =
        (([], 0L), Llama.tensors config)
        ||> List.fold (fun (groups, filled) (name, shape) ->
            let size = bytesOf shape
            let fits = not (List.isEmpty groups) && filled + size <= ShardBytes
            let start = if fits then filled else 0L

            let entry =
                { Name = name
                  Dtype = "BF16"
                  Shape = shape
                  Begin = start
                  End = start + size }

            match groups with
            | group :: rest when fits -> (entry :: group) :: rest, entry.End
            | groups -> [ entry ] :: groups, entry.End)
        |> fst
        |> List.map List.rev
        |> List.rev

    match groups with
    | [ single ] -> [ "model.safetensors", single ]
    | groups ->
        groups
        |> List.mapi (fun i group -> $"model-{i + 1:D5}-of-{groups.Length:D5}.safetensors", group)

[<Literal>]
let private Index = "model.safetensors.index.json"

/// The files of a checkpoint, which are also all that `remove` removes.
let private files (config: ModelConfig) =
    let shards = shards config |> List.map fst

    shards
    @ (if shards.Length > 1 then [ Index ] else [])
    @ [ ConfigFile.GenerationFileName; ConfigFile.FileName ]

let private draw (rng: Rng) : byte[] =
    use _ = torch.NewDisposeScope()
    let numbers = (Rng.normal [ Drawn ] rng).mul_(0.02f.ToScalar())
    (numbers.``to`` torch.bfloat16).bytes.ToArray()

let private writeTensor (drawn: byte[]) (ones: byte[]) (rng: Rng) (stream: Stream) (entry: TensorEntry) =
    if entry.Name.Contains "norm" then
        stream.Write(ones, 0, int entry.Bytes)
    else
        let struct (start, _) = rng |> Rng.below (int Drawn)
        let mutable place = 2 * start
        let mutable left = entry.Bytes

        while left > 0L do
            let count = min left (int64 (drawn.Length - place)) |> int
            stream.Write(drawn, place, count)
            left <- left - int64 count
            place <- 0

let exists (config: ModelConfig) (folder: string) : bool =
    files config
    |> List.forall (fun file -> File.Exists(Path.Combine(folder, file)))

let private writeIndex config (shards: (string * TensorEntry list) list) (stream: Stream) =
    use writer = new Utf8JsonWriter(stream)
    writer.WriteStartObject()
    writer.WriteStartObject "metadata"
    writer.WriteNumber("total_size", bytes config)
    writer.WriteEndObject()
    writer.WriteStartObject "weight_map"

    for shard, entries in shards do
        for entry in entries do
            writer.WriteString(entry.Name, shard)

    writer.WriteEndObject()
    writer.WriteEndObject()

/// Writes the folder, atomically.
let write (config: ModelConfig) (folder: string) : unit =
    let shards = shards config
    let rng = Rng.ofSeed 7L
    let drawn = draw (Rng.fork -1 rng)

    let ones =
        use _ = torch.NewDisposeScope()
        torch.ones(int64 config.Hidden, dtype = torch.bfloat16).bytes.ToArray()

    let weights number (entries: TensorEntry list) (stream: Stream) =
        stream.Write(ReadOnlySpan(SafetensorsHeader.write (Map [ "format", "pt" ]) entries))

        entries
        |> List.iteri (fun i entry -> writeTensor drawn ones (rng |> Rng.fork number |> Rng.fork i) stream entry)

    AtomicFile.writeAll
        folder
        [ yield! shards |> List.mapi (fun i (name, entries) -> name, weights i entries)
          if shards.Length > 1 then
              Index, writeIndex config shards
          ConfigFile.GenerationFileName, ConfigFile.generationWriter config
          ConfigFile.FileName, ConfigFile.writer "bfloat16" config ]

/// Asks the system to forget what it keeps of the weights in memory, so that loading starts from the disk.
let forget (config: ModelConfig) (folder: string) : unit =
    let doNotNeed = 4

    for shard, _ in shards config do
        use file = File.OpenHandle(Path.Combine(folder, shard))
        Posix.advise (file, 0L, 0L, doNotNeed) |> ignore

let private requireSpace (folder: string) needed =
    let free = DriveInfo(Path.GetFullPath folder).AvailableFreeSpace

    if free < needed + needed / 10L then
        invalidOp
            $"{folder}: the checkpoint needs {float needed / 1e9:F1} GB, and {float free / 1e9:F1} GB are free: give another folder with --folder"

/// Runs with a folder that holds the checkpoint: that of `given` if it does, else one that is written, and removed again
/// unless `keep` says otherwise.
let using (config: ModelConfig) (given: string option) (keep: bool) (body: string -> int) : int =
    let folder =
        match given with
        | Some folder -> Path.GetFullPath folder
        | None -> Directory.CreateTempSubdirectory("reft-checkpoint-").FullName

    Directory.CreateDirectory folder |> ignore
    let found = exists config folder

    try
        if not found then
            requireSpace folder (bytes config)
            let written = Timing.once (fun () -> write config folder)
            printfn $"The checkpoint was written in {written.Wall:F0} s."
            printfn ""

        body folder
    finally
        // One that was there before is not this run's to remove.
        if keep then
            printfn $"The checkpoint is in {folder}."
        elif not found then
            for file in files config do
                File.Delete(Path.Combine(folder, file))

            if Seq.isEmpty (Directory.EnumerateFileSystemEntries folder) then
                Directory.Delete folder
