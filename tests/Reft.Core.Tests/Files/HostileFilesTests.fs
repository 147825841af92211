/// Files that someone has tampered with: whatever they hold, a reader refuses them or reads them, and neither crashes nor
/// hangs nor takes memory that the file does not account for.
module Reft.Core.Tests.Files.HostileFilesTests

open System
open System.IO
open System.Text
open Expecto
open FsCheck
open TorchSharp
open Reft.Core
open Reft.Core.Syntax
open Reft.Core.Tests
open Reft.Core.Tests.TinyModel

let private isLong =
    not (isNull (Environment.GetEnvironmentVariable "REFT_LONG_TESTS"))

/// How many cases of each kind: by default enough to notice a reader that has lost a check.
let private cases = if isLong then 8_000 else 250

let private configuration =
    { FsCheckConfig.defaultConfig with
        maxTest = cases
        endSize = 400 }

/// The most managed memory that reading one of these small files may take.
[<Literal>]
let private LargestAllocation = 67_108_864L

/// Bytes that mean something to zip archives, pickles, safetensors and JSON.
let private telling =
    [| 0uy
       1uy
       2uy
       0x7Fuy
       0x80uy
       0xFFuy
       yield! "{}[]\",:-0919.eE()tuRQbsXKMJqhjcN\n/\\#"B |]

let private numbers =
    [ "0"
      "-1"
      "1e308"
      "2147483647"
      "4294967296"
      "9223372036854775807"
      "99999999999999999999999"
      "0.5"
      "null"
      "true"
      "[]"
      "{}"
      "\"\"" ]

/// A few changes to a file's bytes.
let private mutate (random: Random) (donors: byte[] list) (original: byte[]) : byte[] =
    let slice (bytes: byte[]) =
        let start = random.Next(bytes.Length + 1)
        bytes[start .. start + random.Next(64) - 1]

    let change (bytes: byte[]) =
        if bytes.Length = 0 then
            slice original
        else
            let at = random.Next bytes.Length

            match random.Next 8 with
            | 0 ->
                let copy = Array.copy bytes
                copy[at] <- byte (random.Next 256)
                copy
            | 1 ->
                let copy = Array.copy bytes
                copy[at] <- telling[random.Next telling.Length]
                copy
            | 2 ->
                let copy = Array.copy bytes
                copy[at] <- copy[at] ^^^ (1uy <<< random.Next 8)
                copy
            | 3 -> bytes[..at]
            | 4 -> Array.concat [ bytes[.. at - 1]; bytes[at + random.Next 32 ..] ]
            | 5 -> Array.concat [ bytes[..at]; slice bytes; bytes[at + 1 ..] ]
            | 6 -> Array.concat [ bytes[..at]; slice donors[random.Next donors.Length]; bytes[at + 1 ..] ]
            | _ ->
                // A number of the text becomes another value.
                let digit b = b >= '0'B && b <= '9'B

                match Array.tryFindIndex digit bytes[at..] with
                | Some first ->
                    let first = at + first

                    let last =
                        Seq.initInfinite id
                        |> Seq.find (fun i -> first + i >= bytes.Length || not (digit bytes[first + i]))

                    let number = numbers[random.Next numbers.Length]
                    Array.concat [ bytes[.. first - 1]; Encoding.ASCII.GetBytes number; bytes[first + last ..] ]
                | None -> bytes

    Seq.init (1 + random.Next 3) ignore
    |> Seq.fold (fun bytes () -> change bytes) original

/// Whether a reader takes a case as it should: it reads it, or refuses it in the way of refusals, with little memory.
let private taken (what: string) (read: unit -> unit) : bool =
    let before = GC.GetAllocatedBytesForCurrentThread()

    let read' =
        try
            use _ = torch.NewDisposeScope()
            read ()
            true
        with
        | :? InvalidDataException
        | :? FileNotFoundException -> false
        | e -> failtestf "%s: expected a refusal by InvalidDataException, found %O" what e

    let allocated = GC.GetAllocatedBytesForCurrentThread() - before

    if allocated > LargestAllocation then
        failtestf "%s: expected at most %d bytes of memory, found %d" what LargestAllocation allocated

    read'

/// Runs a reader over changed copies of files, each from a seed that the failing test names.
let private survives (name: string) (originals: byte[] list) (read: byte[] -> unit) =
    let refused = ref 0

    testList
        name
        [ testPropertyWithConfig configuration "changed bytes are read or refused" (fun (seed: int) ->
              let random = Random seed
              let original = originals[random.Next originals.Length]
              let bytes = mutate random originals original

              if not (taken $"seed {seed}" (fun () -> read bytes)) then
                  refused.Value <- refused.Value + 1)
          test "and most are refused for what is wrong with them" {
              Expect.isGreaterThan refused.Value (cases / 8) "refused"
          } ]
    |> testSequenced

/// The instructions that the pickle reader knows, with arguments that mean little.
let private program (random: Random) : byte[] =
    let text (value: string) =
        [| yield 'X'B
           yield! BitConverter.GetBytes value.Length
           yield! Encoding.ASCII.GetBytes value |]

    let pieces: (unit -> byte[])[] =
        [| fun () -> text (string (random.Next 3))
           fun () -> text "storage"
           fun () -> text "_metadata"
           fun () -> "ccollections\nOrderedDict\n"B
           fun () -> "ctorch._utils\n_rebuild_tensor_v2\n"B
           fun () -> "ctorch._utils\n_rebuild_parameter\n"B
           fun () -> "ctorch\nFloatStorage\n"B
           fun () -> [| 'K'B; byte (random.Next 256) |]
           fun () -> [| yield 'J'B; yield! BitConverter.GetBytes(random.Next() - random.Next()) |]
           fun () -> [| 0x8Auy; 8uy; 0uy; 0uy; 0uy; 0uy; 0uy; 0uy; 0uy; byte (random.Next 256) |]
           fun () -> [| 'q'B; byte (random.Next 4) |]
           fun () -> [| 'h'B; byte (random.Next 4) |]
           fun () -> [| 0x94uy |]
           for op in "(()ttt}}ssuuRRRQQbN"B do
               fun () -> [| op |]
           for op in [ 0x85uy; 0x86uy; 0x87uy; 0x88uy; 0x89uy ] do
               fun () -> [| op |] |]

    [| yield! [| 0x80uy; 2uy |]
       for _ in 0 .. random.Next 60 do
           yield! pieces[random.Next pieces.Length]()
       yield '.'B |]

/// A reader of folders over one changed file, the others as they were.
let private withFile (original: string) (name: string) (read: string -> unit) (bytes: byte[]) =
    let folder = Directory.CreateTempSubdirectory("reft-fuzz-").FullName

    try
        for path in Directory.GetFiles original do
            File.Copy(path, Path.Combine(folder, Path.GetFileName path |> string))

        File.WriteAllBytes(Path.Combine(folder, name), bytes)
        read folder
    finally
        Directory.Delete(folder, true)

/// An adapter of ours, made once.
let private adapterFolder =
    lazy
        (let folder = Directory.CreateTempSubdirectory("reft-fuzz-adapter-").FullName
         AppDomain.CurrentDomain.ProcessExit.Add(fun _ -> Directory.Delete(folder, true))
         Native.load ()
         use _ = torch.NewDisposeScope()

         let spec =
             (loreft 2 |> at (blockOutput [ 0; 2 ]) (first 2 + last 2))
             @ (0.5 * direftPaper 1 + lobireft 1 |> at (mlpOutput [ 1 ]) all |> tied)

         Adapter.save folder config "sha256:base" spec (Reft.init spec config (Rng.ofSeed 1L))
         folder)

let private bytesOf (parts: string list) = File.ReadAllBytes(Golden.path parts)

let private savedConfig =
    bytesOf [ "e_saved"; "loreft_noshare_module"; "config.json" ]

let private loadAdapter folder =
    use adapter = Adapter.load Registry.standard None config folder
    ignore adapter.Spec

let private refusesAdapter (fragment: string) (placements: string) =
    Native.load ()
    let text = File.ReadAllText(Path.Combine(adapterFolder.Value, "reft.json"))
    let start = text.IndexOf("\"placements\"", StringComparison.Ordinal)
    let changed = text.Substring(0, start) + "\"placements\": " + placements + "}"
    let before = GC.GetAllocatedBytesForCurrentThread()

    Golden.throwsWith<InvalidDataException> [ fragment ] (fun () ->
        changed
        |> Encoding.UTF8.GetBytes
        |> withFile adapterFolder.Value "reft.json" loadAdapter)

    Expect.isLessThan (GC.GetAllocatedBytesForCurrentThread() - before) (8L * LargestAllocation) "memory"

let private placement site tying positions intervention =
    $$"""{"site": "{{site}}", "positions": "{{positions}}", "phase": "prompt", "tying": "{{tying}}", "short_prompt": "paper", "intervention": {{intervention}}}"""

[<Tests>]
let tests =
    testList
        "Hostile files"
        [ survives "torch archives" [ for _, path in TorchFileTests.saved -> File.ReadAllBytes path ] (fun bytes ->
              use stream = new MemoryStream(bytes)
              TorchFile.read "a.bin" stream |> ignore)

          survives
              "pickles"
              [ for _, path in TorchFileTests.saved do
                    use archive = Compression.ZipFile.OpenRead path
                    use stream = archive.Entries[0].Open()
                    use copy = new MemoryStream()
                    stream.CopyTo copy
                    copy.ToArray() ]
              (fun bytes -> Pickle.read "a.bin" (ReadOnlyMemory bytes) |> ignore)

          testPropertyWithConfig configuration "programs of known instructions are read or refused" (fun (seed: int) ->
              let bytes = program (Random seed)

              taken $"seed {seed}" (fun () -> Pickle.read "a.bin" (ReadOnlyMemory bytes) |> ignore)
              |> ignore)

          testPropertyWithConfig configuration "any bytes are no archive, or one" (fun (bytes: byte[]) ->
              taken "bytes" (fun () ->
                  use stream = new MemoryStream(Array.append "PK\003\004"B bytes)
                  TorchFile.read "a.bin" stream |> ignore)
              |> ignore)

          survives
              "safetensors"
              [ for case in [ "loreft_share_module"; "loreft_noshare_module" ] do
                    for path in Directory.GetFiles(Golden.path [ "e_saved"; case ], "*.safetensors") do
                        File.ReadAllBytes path ]
              (fun bytes ->
                  let path = Path.GetTempFileName()

                  try
                      File.WriteAllBytes(path, bytes)
                      Safetensors.readAll path |> ignore
                  finally
                      File.Delete path)

          survives
              "models' config.json"
              [ bytesOf [ "a_models"; "llama"; "model"; "config.json" ]
                bytesOf [ "a_models"; "llama31_rope"; "model"; "config.json" ] ]
              (fun bytes ->
                  let folder = Directory.CreateTempSubdirectory("reft-fuzz-").FullName

                  try
                      File.WriteAllBytes(Path.Combine(folder, "config.json"), bytes)
                      ConfigFile.ofFolder folder |> ignore
                  finally
                      Directory.Delete(folder, true))

          survives "pyreft's config.json" [ savedConfig ] (fun bytes ->
              bytes
              |> withFile (Golden.path [ "e_saved"; "loreft_noshare_module" ]) "config.json" (fun folder ->
                  let options = PyreftAdapter.options (first 1 + last 1)

                  use adapter =
                      PyreftAdapter.load options "" { config with Hidden = 64; Layers = 4 } folder

                  ignore adapter.Spec))

          survives
              "reft.json"
              [ lazy File.ReadAllBytes(Path.Combine(adapterFolder.Value, "reft.json"))
                |> _.Force() ]
              (fun bytes -> bytes |> withFile adapterFolder.Value "reft.json" loadAdapter)

          test "a partition is as small as its text, whatever it stands for" {
              let partition rank text =
                  $$"""{"method": "partitioned_loreft", "rank": {{rank}}, "partition": "{{text}}"}"""
                  |> placement "layers.1.block_output" "groups" "f1"
                  |> sprintf "[%s]"

              let repeated = String.Join(",", Seq.replicate 500 "0-1048575")
              refusesAdapter "at most 1048576, found 2000000000" (partition 2000000000 "0")
              refusesAdapter "at most 1048576, found 2000000000" (partition 2000000000 "0-1999999999")
              refusesAdapter "no partition of 1048576" (partition 1048576 repeated)
              refusesAdapter "no partition of 1048576" (partition 1048576 "0")
              refusesAdapter "no partition of 1048576" (partition 1048576 "5-2")
          }

          test "a reft.json that asks for far more than its weights is refused before anything is made" {
              let here = placement "layers.1.block_output" "groups" "f1"

              let many count text =
                  "[" + String.Join(",", Seq.replicate count text) + "]"

              refusesAdapter
                  "the spec has more than"
                  (many 1 (here """{"method": "autoencoder_interchange", "source": "a", "size": 2000000000}"""))

              let sum count form =
                  sprintf """{"sum": %s}""" (many count form)

              refusesAdapter "the spec has more than" (many 1 (here (sum 4000 """{"method": "loreft", "rank": 16}""")))
              refusesAdapter "at most 4096 interventions" (many 1 (here (sum 200000 """{"method": "red"}""")))

              refusesAdapter
                  "the spec has more than"
                  ("["
                   + String.Join(
                       ",",
                       [ for layer in 0..2 do
                             for part in [ "block_input"; "mlp_output"; "attention_output" ] do
                                 placement
                                     $"layers.{layer}.{part}"
                                     "each_position"
                                     "f4096"
                                     """{"method": "loreft", "rank": 16}""" ]
                   )
                   + "]")
          } ]
