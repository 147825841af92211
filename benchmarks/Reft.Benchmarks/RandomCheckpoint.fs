/// Writes a checkpoint of random weights in bf16, a piece of a tensor at a time: memory stays small whatever the model's size.
module Reft.Benchmarks.RandomCheckpoint

open System
open System.IO
open System.Runtime.InteropServices
open TorchSharp
open Reft.Core

module private Posix =
    [<DllImport("libc", EntryPoint = "posix_fadvise")>]
    extern int advise(Microsoft.Win32.SafeHandles.SafeFileHandle descriptor, int64 offset, int64 length, int advice)

/// The files of a checkpoint, which are also all that `remove` removes.
let private files =
    [ "model.safetensors"; ConfigFile.GenerationFileName; ConfigFile.FileName ]

/// Numbers drawn at a time: 16 MB of fp32.
[<Literal>]
let private Chunk = 4_194_304L

let private layout (config: ModelConfig) =
    let mutable next = 0L

    [ for name, shape in Llama.tensors config do
          let start = next
          next <- start + 2L * List.fold (*) 1L shape

          { Name = name
            Dtype = "BF16"
            Shape = shape
            Begin = start
            End = next } ]

let private writeTensor (rng: Rng) (stream: Stream) (entry: TensorEntry) =
    let count = (entry.End - entry.Begin) / 2L

    for start in 0L .. Chunk .. count - 1L do
        use _ = torch.NewDisposeScope()
        let size = min Chunk (count - start)

        let values =
            if entry.Name.Contains "norm" then
                torch.ones (size, dtype = torch.float32)
            else
                (Rng.normal [ size ] (Rng.fork (int (start / Chunk)) rng)).mul_(0.02f.ToScalar())

        stream.Write((values.``to`` torch.bfloat16).bytes)

let exists (folder: string) : bool =
    files |> List.forall (fun file -> File.Exists(Path.Combine(folder, file)))

/// Bytes that the weights take.
let bytes (config: ModelConfig) : int64 =
    Llama.tensors config |> List.sumBy (snd >> List.fold (*) 2L)

/// Writes the folder, atomically.
let write (config: ModelConfig) (folder: string) : unit =
    let entries = layout config
    let rng = Rng.ofSeed 7L

    let weights (stream: Stream) =
        stream.Write(ReadOnlySpan(SafetensorsHeader.write (Map [ "format", "pt" ]) entries))

        entries |> List.iteri (fun i entry -> writeTensor (Rng.fork i rng) stream entry)

    AtomicFile.writeAll
        folder
        (List.zip
            files
            [ weights
              ConfigFile.generationWriter config
              ConfigFile.writer "bfloat16" config ])

/// Asks the system to forget what it keeps of the weights in memory, so that loading starts from the disk.
let forget (folder: string) : unit =
    let doNotNeed = 4
    use file = File.OpenHandle(Path.Combine(folder, files.Head))
    Posix.advise (file, 0L, 0L, doNotNeed) |> ignore

/// Removes what `write` wrote, and the folder if nothing else is in it.
let remove (folder: string) : unit =
    for file in files do
        File.Delete(Path.Combine(folder, file))

    if Seq.isEmpty (Directory.EnumerateFileSystemEntries folder) then
        Directory.Delete folder
