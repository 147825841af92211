module Reft.Core.Tests.Files.SafetensorsTests

open System
open System.Diagnostics
open System.IO
open System.Text
open Expecto
open FsCheck
open FsCheck.FSharp
open Reft.Core
open Reft.Core.Tests
open TorchSharp

/// A file of a header and a data section as given, whether or not they fit.
let private rawFile (folder: string) (header: string) (data: byte[]) =
    let path = Path.Combine(folder, "raw.safetensors")
    let padding = String(' ', (8 - Encoding.UTF8.GetByteCount header % 8) % 8)
    let json = Encoding.UTF8.GetBytes(header + padding)
    File.WriteAllBytes(path, [| yield! BitConverter.GetBytes(uint64 json.Length); yield! json; yield! data |])
    path

let private openAndRead (path: string) =
    use file = SafetensorsFile.Open path

    for entry in file.Tensors do
        use tensor = file.Read entry.Name
        use sum = tensor.sum ()
        ignore sum

/// A file that must be refused, with a message that names the file and says this.
let private refuses (header: string) (bytes: int) (fragments: string list) =
    Golden.inTemporaryFolder (fun folder ->
        let path = rawFile folder header (Array.zeroCreate bytes)
        Golden.throwsWith<InvalidDataException> (path :: fragments) (fun () -> openAndRead path))

let private dtypes = SafetensorsDtype.names |> List.choose SafetensorsDtype.tryParse

type private Spec =
    { Dtype: torch.ScalarType
      Shape: int64 list
      Seed: uint64 }

let private specs =
    gen {
        let! count = Gen.choose (0, 6)
        let side = Gen.elements [ 0L; 1L; 2L; 3L; 5L; 7L ]

        return!
            Gen.listOfLength
                count
                (gen {
                    let! dtype = Gen.elements dtypes
                    let! rank = Gen.choose (0, 4)
                    let! shape = Gen.listOfLength rank side
                    let! seed = Gen.choose (0, 1_000_000)

                    return
                        { Dtype = dtype
                          Shape = shape
                          Seed = uint64 seed }
                })
    }

let private tensorOf (spec: Spec) : Tensor =
    use _ = torch.NewDisposeScope()
    use generator = new torch.Generator(spec.Seed, torch.CPU)

    let normal =
        torch.randn (List.toArray spec.Shape, dtype = torch.float32, generator = generator)

    let scaled =
        if spec.Dtype = torch.bool then
            normal.sign () + 1.0f
        else
            normal * 20.0f
    // Unsigned types have no negative values.
    (if spec.Dtype = torch.uint8 then scaled.abs () else scaled).``to``(spec.Dtype).MoveToOuterDisposeScope()

let private roundTrip (specs: Spec list) =
    let mutable holds = true

    Golden.inTemporaryFolder (fun folder ->
        let path = Path.Combine(folder, "x.safetensors")
        let tensors = specs |> List.mapi (fun i spec -> $"wéights.{i} \"☃\"", tensorOf spec)
        let metadata = Map [ "format", "pt"; "ünï", "a\nb\"c" ]
        Safetensors.write path metadata tensors
        use file = SafetensorsFile.Open path

        holds <-
            file.Metadata = metadata
            && file.Tensors.Length = tensors.Length
            && tensors
               |> List.forall (fun (name, tensor) -> Golden.same tensor (file.Read name)))

    holds

let private valid =
    """{"__metadata__":{"format":"pt"},"a":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]},"b":{"dtype":"I64","shape":[1],"data_offsets":[24,32]}}"""

/// Random edits of a valid file: whatever comes of them, it is read or refused, never a crash or another exception.
let private mutations (count: int) =
    Golden.inTemporaryFolder (fun folder ->
        let bytes = File.ReadAllBytes(rawFile folder valid (Array.init 32 byte))
        let random = Random 7

        let tokens =
            [| "-1"
               "0"
               "99999999999999999999"
               "9223372036854775807"
               "null"
               "[]"
               "{}"
               "\"F64\""
               "\"\\ud800\""
               "1e9"
               "[[[["
               "," |]

        let mutable refused = 0

        for i in 1..count do
            let changed = ResizeArray bytes

            for _ in 0 .. random.Next 3 do
                let at = random.Next changed.Count

                match random.Next 4 with
                | 0 -> changed[at] <- byte (random.Next 256)
                | 1 -> changed.RemoveRange(at, random.Next(1, min 9 (changed.Count - at + 1)))
                | 2 -> changed.InsertRange(at, Encoding.UTF8.GetBytes tokens[random.Next tokens.Length])
                | _ -> changed.InsertRange(at, changed.GetRange(at, min 12 (changed.Count - at)))

                if changed.Count = 0 then
                    changed.Add 0uy

            let path = Path.Combine(folder, $"m{i}.safetensors")
            File.WriteAllBytes(path, changed.ToArray())

            try
                openAndRead path
            with :? InvalidDataException as e ->
                refused <- refused + 1
                Expect.stringContains e.Message path "the message names the file"

        Expect.isGreaterThan refused (count / 2) "most mutations are refused")

/// A valid file whose header's numbers and texts are replaced one at a time.
let private fieldMutations () =
    Golden.inTemporaryFolder (fun folder ->
        for original in
            [ "[2,3]"
              "[0,24]"
              "[24,32]"
              "\"F32\""
              "\"I64\""
              "[1]"
              "\"pt\""
              "\"dtype\""
              "\"b\"" ] do
            for replacement in
                [ "null"
                  "3"
                  "[]"
                  "[-1,24]"
                  "[24,0]"
                  "[0,9223372036854775807]"
                  "[4611686018427387904,4611686018427387904]"
                  "[2,3.0]"
                  "\"Q4\""
                  "{}"
                  "[0,24,24]"
                  "[\"0\",24]"
                  "true" ] do
                // A scalar is a shape, and any text is a name or a metadata value.
                match original, replacement with
                | "[1]", "[]"
                | "\"pt\"", "\"Q4\""
                | "\"b\"", "\"Q4\"" -> ()
                | _ ->
                    let path =
                        rawFile folder (valid.Replace(original, replacement)) (Array.init 32 byte)

                    Golden.throwsWith<InvalidDataException> [ path ] (fun () -> openAndRead path))

[<Tests>]
let tests =
    testList
        "Safetensors"
        [ testCase "save ∘ load is the identity, for every dtype and shape"
          <| fun () -> Check.One(Config.QuickThrowOnFailure.WithMaxTest 60, Prop.forAll (Arb.fromGen specs) roundTrip)

          test "the same tensors give the same bytes, in whatever order they come" {
              Golden.inTemporaryFolder (fun folder ->
                  let at name = Path.Combine(folder, name)

                  let tensors =
                      [ "b", torch.arange 5L
                        "a", torch.ones [| 2L; 2L |]
                        "c", torch.ones (3L, dtype = torch.uint8) ]

                  Safetensors.write (at "x") Map.empty tensors
                  Safetensors.write (at "y") Map.empty (List.rev tensors)
                  Expect.equal (File.ReadAllBytes(at "y")) (File.ReadAllBytes(at "x")) "bytes")
          }

          test "views stay valid after the file is closed, and never change it" {
              Golden.inTemporaryFolder (fun folder ->
                  let path = Path.Combine(folder, "x")
                  Safetensors.write path Map.empty [ "a", torch.arange(6L).view(2L, 3L) ]
                  let before = File.ReadAllBytes path

                  let view =
                      use file = SafetensorsFile.Open path
                      file.Read "a"

                  view.add_ (1L.ToScalar()) |> ignore
                  Expect.equal (view.data<int64>().ToArray()) [| 1L .. 6L |] "values"
                  Expect.equal (File.ReadAllBytes path) before "file")
          }

          test "a tensor at an odd address is copied, not misread" {
              Golden.inTemporaryFolder (fun folder ->
                  let header =
                      """{"a":{"dtype":"U8","shape":[3],"data_offsets":[0,3]},"b":{"dtype":"F32","shape":[2],"data_offsets":[3,11]}}"""

                  let data =
                      [| 1uy
                         2uy
                         3uy
                         yield! BitConverter.GetBytes 1.5f
                         yield! BitConverter.GetBytes -2.5f |]

                  use file = SafetensorsFile.Open(rawFile folder header data)
                  Expect.equal (file.Read("b").data<float32>().ToArray()) [| 1.5f; -2.5f |] "b"
                  Expect.equal (file.Read("a").data<byte>().ToArray()) [| 1uy; 2uy; 3uy |] "a")
          }

          test "a file without tensors, and one without bytes" {
              Golden.inTemporaryFolder (fun folder ->
                  use empty = SafetensorsFile.Open(rawFile folder "{}" [||])
                  Expect.isEmpty empty.Tensors "tensors")

              refuses
                  """{"a":{"dtype":"F32","shape":[0,4],"data_offsets":[0,4]}}"""
                  4
                  [ "'a'"; "expected 0 bytes"; "found 4" ]
          }

          test "types that libtorch lacks are listed and refused on reading" {
              Golden.inTemporaryFolder (fun folder ->
                  let header = """{"a":{"dtype":"F8_E4M3","shape":[2],"data_offsets":[0,2]}}"""
                  use file = SafetensorsFile.Open(rawFile folder header [| 0uy; 0uy |])
                  Expect.equal file.Tensors.Head.Dtype "F8_E4M3" "dtype"
                  Golden.throwsWith<InvalidDataException> [ "'a'"; "F8_E4M3" ] (fun () -> file.Read "a" |> ignore))
          }

          test "headers that lie are refused" {
              refuses
                  """{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,800]}}"""
                  8
                  [ "'a'"; "expected 8 bytes"; "found 800" ]

              refuses
                  """{"a":{"dtype":"F32","shape":[200],"data_offsets":[0,800]}}"""
                  8
                  [ "expected a data section of 800 bytes"; "found 8" ]

              refuses
                  """{"a":{"dtype":"F32","shape":[2],"data_offsets":[8,16]}}"""
                  16
                  [ "'a'"; "begin at byte 0"; "found 8" ]

              refuses """{"a":{"dtype":"F32","shape":[2],"data_offsets":[8,0]}}""" 8 [ "'a'"; "begin ≤ end"; "8, 0" ]
              refuses """{"a":{"dtype":"F32","shape":[-2],"data_offsets":[0,8]}}""" 8 [ "'a'"; "shape"; "-2" ]

              refuses
                  """{"a":{"dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,8]}}"""
                  8
                  [ "'a'"; "2^63" ]

              refuses
                  """{"a":{"dtype":"F32","shape":[0,4611686018427387904,4611686018427387904],"data_offsets":[0,0]}}"""
                  0
                  [ "'a'"; "2^63"; "[0, 4611686018427387904" ]

              refuses """{"a":{"dtype":"F33","shape":[2],"data_offsets":[0,8]}}""" 8 [ "'a'"; "'F33'"; "BF16" ]
              refuses """{"a":{"dtype":"F32","shape":[2]}}""" 8 [ "data_offsets"; "missing" ]
              refuses """{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8],"x":1}}""" 8 [ "'x'" ]

              refuses
                  """{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"b":{"dtype":"F32","shape":[1],"data_offsets":[2,6]}}"""
                  6
                  [ "'b'"; "overlap" ]

              refuses
                  """{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}"""
                  8
                  [ "JSON" ]

              refuses """{"__metadata__":{"a":1}}""" 0 [ "__metadata__.a"; "expected a text"; "found 1" ]
              refuses """[]""" 0 [ "begins with '{'" ]
              refuses """{"a":7}""" 0 [ "expected an object"; "found 7" ]
          }

          test "header lengths beyond the file or the format's bound are refused before anything is read" {
              Golden.inTemporaryFolder (fun folder ->
                  let path = Path.Combine(folder, "x")

                  for length in [ 3UL; 100_000_001UL; UInt64.MaxValue; 1UL <<< 63 ] do
                      File.WriteAllBytes(path, [| yield! BitConverter.GetBytes length; yield! "{}"B |])

                      Golden.throwsWith<InvalidDataException> [ path; string length ] (fun () -> openAndRead path)

                  for bytes in [ [||]; [| 1uy; 2uy |] ] do
                      File.WriteAllBytes(path, bytes)
                      Golden.throwsWith<InvalidDataException> [ path; "at least 8 bytes" ] (fun () -> openAndRead path))
          }

          test "every truncation of a file is refused" {
              Golden.inTemporaryFolder (fun folder ->
                  let bytes = File.ReadAllBytes(rawFile folder valid (Array.zeroCreate 32))
                  let path = Path.Combine(folder, "cut")

                  for length in 0 .. bytes.Length - 1 do
                      File.WriteAllBytes(path, bytes[.. length - 1])
                      Golden.throwsWith<InvalidDataException> [ path ] (fun () -> openAndRead path))
          }

          test "a file cut after it was opened is refused, not mapped beyond its end" {
              Golden.inTemporaryFolder (fun folder ->
                  let path = rawFile folder valid (Array.zeroCreate 32)
                  use file = SafetensorsFile.Open path
                  // .NET's own lock would keep this program from cutting it.
                  use cut = Process.Start("truncate", [ "-s"; "100"; path ])
                  cut.WaitForExit()
                  Golden.throwsWith<InvalidDataException> [ path; "found 100" ] (fun () -> file.Read "a" |> ignore)

                  Golden.throwsWith<InvalidDataException> [ path ] (fun () ->
                      file.ReadBytes(file.Tensors[1], 0L, Array.zeroCreate<byte>(8).AsSpan())))
          }

          test "a file that is replaced while it is open is read as it was" {
              Golden.inTemporaryFolder (fun folder ->
                  let path = Path.Combine(folder, "x")
                  Safetensors.write path Map.empty [ "a", torch.arange 3L ]
                  use file = SafetensorsFile.Open path
                  Safetensors.write path Map.empty [ "a", torch.zeros (3L, dtype = torch.int64) ]
                  Expect.equal (file.Read("a").data<int64>().ToArray()) [| 0L; 1L; 2L |] "values")
          }

          test "wrong values in every field are refused" { fieldMutations () }
          test "300 mutated files are read or refused, never anything else" { mutations 300 }

          test "names that come twice, are reserved or have no dtype are refused on writing" {
              Golden.inTemporaryFolder (fun folder ->
                  let write tensors =
                      Safetensors.write (Path.Combine(folder, "x")) Map.empty tensors

                  let one = torch.ones 1L
                  Golden.throwsWith<ArgumentException> [ "'a'"; "2 times" ] (fun () -> write [ "a", one; "a", one ])
                  Golden.throwsWith<ArgumentException> [ "__metadata__" ] (fun () -> write [ "__metadata__", one ])

                  Golden.throwsWith<ArgumentException> [ "'z'"; "ComplexFloat32" ] (fun () ->
                      write [ "z", torch.ones (1L, dtype = torch.complex64) ])

                  Expect.isEmpty (Directory.GetFileSystemEntries folder) "nothing was written")
          }

          test "reading 1,000 times leaves no tensor behind" {
              Golden.inTemporaryFolder (fun folder ->
                  let path = rawFile folder valid (Array.zeroCreate 32)
                  openAndRead path
                  let before = Golden.liveTensors ()

                  for _ in 1..1000 do
                      openAndRead path

                  Expect.equal Tensor.TotalCount before "live tensors")
          } ]
