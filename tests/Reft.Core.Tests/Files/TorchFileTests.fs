module Reft.Core.Tests.Files.TorchFileTests

open System
open System.IO
open System.IO.Compression
open System.Text
open Expecto
open FsCheck
open TorchSharp
open Reft.Core
open Reft.Core.Tests

/// An archive as torch.save writes it, around a pickle and storages.
let archive (path: string) (pickle: byte[]) (storages: byte[] list) : unit =
    use stream = File.Create path

    TorchArchive.write
        stream
        "archive"
        [ "data.pkl", pickle
          "byteorder", Encoding.ASCII.GetBytes "little"
          for i, bytes in List.indexed storages do
              $"data/{i}", bytes
          "version", Encoding.ASCII.GetBytes "3\n" ]

/// Every file that pyreft saved.
let saved: (string * string) list =
    [ for case in [ "loreft_share_module"; "loreft_noshare_module" ] do
          for path in Directory.GetFiles(Golden.path [ "e_saved"; case ], "*.bin") |> Array.sort do
              case, path ]

/// What Python's pickler writes for {embed_dim: an int64 scalar, weight: float32 [2, 3]}, with stand-ins for torch's
/// classes: protocols 2, 4 and 5; with a module's _metadata and with the weight as a torch.nn.Parameter.
let private byPython =
    [ "protocol 2",
      "gAJjY29sbGVjdGlvbnMKT3JkZXJlZERpY3QKcQApUnEBKFgJAAAAZW1iZWRfZGltcQJjdG9yY2guX3V0aWxzCl9yZWJ1aWxkX3RlbnNvcl92MgpxAygoWAcAAABzdG9yYWdlcQRjdG9yY2gKTG9uZ1N0b3JhZ2UKcQVYAQAAADBxBlgDAAAAY3B1cQdLAXRxCFFLACkpiWgAKVJxCXRxClJxC1gGAAAAd2VpZ2h0cQxoAygoaARjdG9yY2gKRmxvYXRTdG9yYWdlCnENWAEAAAAxcQ5oB0sGdHEPUUsASwJLA4ZxEEsDSwGGcRGJaAApUnESdHETUnEUdS4="
      "protocol 4",
      "gASV3AAAAAAAAACMC2NvbGxlY3Rpb25zlIwLT3JkZXJlZERpY3SUk5QpUpQojAllbWJlZF9kaW2UjAx0b3JjaC5fdXRpbHOUjBJfcmVidWlsZF90ZW5zb3JfdjKUk5QoKIwHc3RvcmFnZZSMBXRvcmNolIwLTG9uZ1N0b3JhZ2WUk5SMATCUjANjcHWUSwF0lFFLACkpiWgCKVKUdJRSlIwGd2VpZ2h0lGgHKChoCGgJjAxGbG9hdFN0b3JhZ2WUk5SMATGUaA1LBnSUUUsASwJLA4aUSwNLAYaUiWgCKVKUdJRSlHUu"
      "protocol 2 with metadata",
      "gAJjY29sbGVjdGlvbnMKT3JkZXJlZERpY3QKcQApUnEBKFgJAAAAZW1iZWRfZGltcQJjdG9yY2guX3V0aWxzCl9yZWJ1aWxkX3RlbnNvcl92MgpxAygoWAcAAABzdG9yYWdlcQRjdG9yY2gKTG9uZ1N0b3JhZ2UKcQVYAQAAADBxBlgDAAAAY3B1cQdLAXRxCFFLACkpiWgAKVJxCXRxClJxC1gGAAAAd2VpZ2h0cQxoAygoaARjdG9yY2gKRmxvYXRTdG9yYWdlCnENWAEAAAAxcQ5oB0sGdHEPUUsASwJLA4ZxEEsDSwGGcRGJaAApUnESdHETUnEUdX1xFVgJAAAAX21ldGFkYXRhcRZoAClScRcoWAAAAABxGH1xGVgHAAAAdmVyc2lvbnEaSwFzWAMAAABzdWJxG31xHGgaSwFzdXNiLg=="
      "protocol 5 with metadata and a parameter",
      "gAWVNQEAAAAAAACMC2NvbGxlY3Rpb25zlIwLT3JkZXJlZERpY3SUk5QpUpQojAllbWJlZF9kaW2UjAx0b3JjaC5fdXRpbHOUjBJfcmVidWlsZF90ZW5zb3JfdjKUk5QoKIwHc3RvcmFnZZSMBXRvcmNolIwLTG9uZ1N0b3JhZ2WUk5SMATCUjANjcHWUSwF0lFFLACkpiWgCKVKUdJRSlIwGd2VpZ2h0lGgFjBJfcmVidWlsZF9wYXJhbWV0ZXKUk5RoBygoaAhoCYwMRmxvYXRTdG9yYWdllJOUjAExlGgNSwZ0lFFLAEsCSwOGlEsDSwGGlIloAilSlHSUUpSIaAIpUpSHlFKUdX2UjAlfbWV0YWRhdGGUaAIpUpQojACUfZSMB3ZlcnNpb26USwFzjANzdWKUfZRoJksBc3VzYi4=" ]

let private storages =
    [ BitConverter.GetBytes 7L
      [| 0..5 |] |> Array.collect (float32 >> BitConverter.GetBytes) ]

/// Texts of the instructions that tests put together.
let private global' modul name =
    Encoding.ASCII.GetBytes $"c{modul}\n{name}\n"

let private text (value: string) =
    [| 'X'B
       byte value.Length
       0uy
       0uy
       0uy
       yield! Encoding.ASCII.GetBytes value |]

/// {"a": a float32 tensor of the given description}.
let private describing (count: byte) (offset: byte) (shape: byte list) (strides: byte list) =
    let tuple (sides: byte list) =
        [| yield '('B
           for side in sides do
               yield! [| 'K'B; side |]
           yield 't'B |]

    [| yield! [| 0x80uy; 2uy; '}'B |]
       yield! text "a"
       yield! global' "torch._utils" "_rebuild_tensor_v2"
       yield! "(("B
       yield! text "storage"
       yield! global' "torch" "FloatStorage"
       yield! text "1"
       yield! text "cpu"
       yield! [| 'K'B; count; 't'B; 'Q'B; 'K'B; offset |]
       yield! tuple shape
       yield! tuple strides
       yield 0x89uy
       yield! global' "collections" "OrderedDict"
       yield! ")RtRs."B |]

let private refuses (fragments: string list) (pickle: byte[]) =
    Golden.inTemporaryFolder (fun folder ->
        let path = Path.Combine(folder, "a.bin")
        archive path pickle storages
        Golden.throwsWith<InvalidDataException> (path :: fragments) (fun () -> TorchFile.readAll path |> ignore))

let private headed (body: byte[]) = Array.append [| 0x80uy; 2uy |] body

[<Tests>]
let tests =
    testList
        "Torch files"
        [ for case, path in saved do
              let name = Path.GetFileName path |> string

              test $"{case}/{name}: the tensors that torch reads" {
                  TinyModel.scoped (fun () ->
                      let expected = Safetensors.readAll (path + ".as.safetensors")
                      let found = TorchFile.readAll path
                      Expect.equal (Map.keys found |> List.ofSeq) (Map.keys expected |> List.ofSeq) "names"

                      for KeyValue(name, tensor) in expected do
                          Expect.isTrue (Golden.same tensor found[name]) name)
              }

              test $"{case}/{name}: written again, the bytes that torch wrote" {
                  Golden.inTemporaryFolder (fun folder ->
                      let found = TorchFile.readAll path
                      let again = Path.Combine(folder, name)
                      TorchFile.write again [ for name in [ "weight"; "bias"; "rotate_layer" ] -> name, found[name] ]

                      let theirs, ours = File.ReadAllBytes path, File.ReadAllBytes again
                      Expect.equal ours.Length theirs.Length "length"

                      let differing =
                          [ for i in 0 .. ours.Length - 1 do
                                if ours[i] <> theirs[i] then
                                    i ]

                      use theirZip = ZipFile.OpenRead path
                      let entries = theirZip.Entries |> Seq.toArray
                      Expect.equal entries[entries.Length - 1].Name "serialization_id" "the last entry"
                      // It identifies a save by 40 digits, whose checksum stands behind them and in the table.
                      Expect.isLessThanOrEqual differing.Length 48 "bytes that differ"

                      let first =
                          Encoding.Latin1.GetString(theirs).IndexOf("serialization_id", StringComparison.Ordinal)

                      Expect.isTrue (differing |> List.forall (fun i -> i > first)) "only in the identity"

                      use ourZip = ZipFile.OpenRead again

                      for entry in entries |> Array.take (entries.Length - 1) do
                          match ourZip.GetEntry entry.FullName with
                          | null -> failtestf "no entry %s" entry.FullName
                          | ours -> Expect.equal ours.Crc32 entry.Crc32 entry.FullName)
              }

          for name, pickle in byPython do
              test $"Python's own pickles: {name}" {
                  Golden.inTemporaryFolder (fun folder ->
                      let path = Path.Combine(folder, "a.bin")
                      archive path (Convert.FromBase64String pickle) storages
                      let found = TorchFile.readAll path
                      Expect.equal (found["embed_dim"].item<int64>()) 7L "a scalar"
                      Expect.equal (List.ofArray found["weight"].shape) [ 2L; 3L ] "shape"
                      Expect.equal (found["weight"].data<float32>().ToArray()) [| 0.0f .. 5.0f |] "values")
              }

          test "a pickle that we write is Python's, byte for byte" {
              let ours =
                  PickleWriter.stateDict
                      [ "embed_dim", torch.ScalarType.Int64, [||]
                        "weight", torch.ScalarType.Float32, [| 2L; 3L |] ]

              Expect.equal (Convert.ToBase64String ours) (snd byPython.Head) "the pickle"
          }
          test "a transposed view of a storage is read as its values" {
              Golden.inTemporaryFolder (fun folder ->
                  let path = Path.Combine(folder, "a.bin")
                  archive path (describing 6uy 1uy [ 2uy; 2uy ] [ 1uy; 3uy ]) storages

                  let found = TorchFile.readAll path

                  Expect.equal (found["a"].data<float32>().ToArray()) [| 1.0f; 4.0f; 2.0f; 5.0f |] "values")
          }
          test "tensors of every type and of many kinds of shape come back" {
              Golden.inTemporaryFolder (fun folder ->
                  let path = Path.Combine(folder, "many.bin")

                  let tensors =
                      [ for dtype in
                            [ torch.ScalarType.Float64
                              torch.ScalarType.Float32
                              torch.ScalarType.Float16
                              torch.ScalarType.BFloat16
                              torch.ScalarType.Int64
                              torch.ScalarType.Int32
                              torch.ScalarType.Int16
                              torch.ScalarType.Int8
                              torch.ScalarType.Byte
                              torch.ScalarType.Bool ] do
                            for shape in [ [||]; [| 0L; 3L |]; [| 70_000L |]; [| 2L; 3L; 1L; 2L |] ] do
                                let count = shape |> Array.fold (*) 1L
                                let values = torch.arange(count).remainder(torch.tensor (100L)).view(shape)
                                let shown = String.Join("x", shape)
                                $"{dtype}.{shown}", values.``to`` dtype
                        for i in 0..1200 do
                            $"t{i}", torch.tensor (float32 i) ]

                  TorchFile.write path tensors
                  let found = TorchFile.readAll path
                  Expect.equal found.Count tensors.Length "count"

                  for name, tensor in tensors do
                      Expect.isTrue (Golden.same tensor found[name]) name)
          }
          test "a pickle that names or does anything else is refused with what and where" {
              refuses [ "names os.system"; "at byte 2" ] (headed [| yield! global' "os" "system"; yield '.'B |])
              refuses [ "names builtins.eval" ] (headed [| yield! text "builtins"; yield! text "eval"; 0x93uy; '.'B |])
              refuses [ "names torch._utils._rebuild_qtensor" ] (headed (global' "torch._utils" "_rebuild_qtensor"))
              refuses [ "instruction 0x69" ] (headed "(ios\nsystem\n."B) // INST
              refuses [ "instruction 0x6F" ] (headed "(o."B) // OBJ

              refuses
                  [ "instruction 0x81" ]
                  (headed [| yield! global' "collections" "OrderedDict"; ')'B; 0x81uy; '.'B |])

              refuses [ "instruction 0x82" ] (headed [| 0x82uy; 1uy; '.'B |]) // EXT1
              refuses [ "instruction 0x50" ] (headed "Pid\n."B) // PERSID
              refuses [ "instruction 0x5D" ] (headed "]."B) // EMPTY_LIST
              refuses [ "calls a text" ] (headed [| yield! text "x"; ')'B; 'R'B; '.'B |])

              refuses
                  [ "with 1 arguments" ]
                  (headed
                      [| yield! global' "collections" "OrderedDict"
                         yield! [| 'N'B; 0x85uy; 'R'B; '.'B |] |])

              refuses [ "sets attributes" ] (headed [| '}'B; '}'B; yield! text "x"; 'N'B; 's'B; 'b'B; '.'B |])
              refuses [ "expected a tensor under 'x', found None" ] (headed [| '}'B; yield! text "x"; yield! "Ns."B |])
              refuses [ "a text as a key" ] (headed "}K\001Ns."B)

              refuses
                  [ "'x' comes twice" ]
                  (headed [| '}'B; yield! text "x"; yield! "Ns"B; yield! text "x"; yield! "Ns."B |])

              refuses [ "expected a dictionary of tensors, found a tuple" ] (headed ")."B)
              refuses [ "protocol 2 … 5, found 1" ] [| 0x80uy; 1uy; '.'B |]
              refuses [ "remembered as 9" ] (headed [| 'h'B; 9uy; '.'B |])
              refuses [ "remember a value as 0 … 0, found 1" ] (headed [| 'N'B; 'q'B; 1uy; '.'B |])

              refuses
                  [ "0 … 1, found 4294967295" ]
                  (headed [| yield! "Nq\000r"B; yield! Array.create 4 255uy; yield '.'B |])

              refuses [ "expected 1 more bytes" ] (headed ")"B)
              refuses [ "expected 2147483647 more bytes" ] (headed [| 'X'B; 255uy; 255uy; 255uy; 127uy; 'a'B |])
              refuses [ "more bytes" ] (headed [| 'X'B; 255uy; 255uy; 255uy; 255uy; 'a'B |])
              refuses [ "expected a value on the stack" ] (headed "s."B)
          }
          test "a pickle of very many instructions is refused before they take memory" {
              for one in [ '}'B; 0x94uy; '('B; ')'B ] do
                  let before = GC.GetAllocatedBytesForCurrentThread()

                  refuses
                      [ "at most 1048576 instructions" ]
                      (headed [| yield '}'B; yield! Array.create 8_000_000 one; yield '.'B |])

                  Expect.isLessThan (GC.GetAllocatedBytesForCurrentThread() - before) 500_000_000L "memory"

              refuses [ "data.pkl"; "16777216" ] (headed (Array.create 17_000_000 '}'B))
          }
          test "a tensor that its storage or the file has not is refused" {
              refuses [ "tensor 'a'"; "[7]"; "6 elements" ] (describing 6uy 0uy [ 7uy ] [ 1uy ])
              refuses [ "tensor 'a'" ] (describing 6uy 1uy [ 6uy ] [ 1uy ])
              refuses [ "tensor 'a'" ] (describing 6uy 0uy [ 2uy; 3uy ] [ 3uy; 2uy ])
              refuses [ "tensor 'a'"; "strides [0]" ] (describing 6uy 0uy [ 200uy ] [ 0uy ])
              refuses [ "a stride for each" ] (describing 6uy 0uy [ 2uy; 3uy ] [ 3uy ])
              refuses [ "expected 5 elements"; "data/1" ] (describing 5uy 0uy [ 5uy ] [ 1uy ])
              refuses [ "at most 64" ] (describing 6uy 0uy (List.replicate 65 1uy) (List.replicate 65 1uy))
              // 255⁹ elements do not fit 63 bits.
              refuses [ "tensor 'a'" ] (describing 6uy 0uy (List.replicate 9 255uy) (List.replicate 9 255uy))
              // Nor do those of an empty tensor's other sides.
              refuses [ "tensor 'a'" ] (describing 6uy 0uy (0uy :: List.replicate 8 255uy) (List.replicate 9 1uy))
          }
          test "tensors that share one storage cannot make more of a file than it holds" {
              let one = describing 6uy 0uy [ 6uy ] [ 1uy ]

              let again (key: string) =
                  [| yield! text key; yield! [| 'h'B; 0uy; 's'B |] |]

              // The tensor is remembered, and set again under a thousand other keys of a few bytes each.
              refuses
                  [ "together at most"; "share memory" ]
                  [| yield! one[.. one.Length - 3]
                     yield! [| 'q'B; 0uy; 's'B |]
                     for i in 0..999 do
                         yield! again $"k{i}"
                     yield '.'B |]
          }
          test "what is no such archive is refused with advice" {
              Golden.inTemporaryFolder (fun folder ->
                  let refuses (name: string) (fragments: string list) (write: string -> unit) =
                      let path = Path.Combine(folder, name)
                      write path

                      Golden.throwsWith<InvalidDataException> (path :: fragments) (fun () ->
                          TorchFile.readAll path |> ignore)

                  let zip (level: CompressionLevel) (entries: (string * byte[]) list) (path: string) =
                      use archive = ZipFile.Open(path, ZipArchiveMode.Create)

                      for name, content in entries do
                          use stream = archive.CreateEntry(name, level).Open()
                          stream.Write(content, 0, content.Length)

                  let pickle = Convert.FromBase64String(snd byPython.Head)
                  let stored = zip CompressionLevel.NoCompression

                  let complete =
                      [ "a/data.pkl", pickle; "a/data/0", storages[0]; "a/data/1", storages[1] ]

                  refuses "old" [ "before torch 1.6"; "weights_only=True" ] (fun path ->
                      File.WriteAllBytes(path, Convert.FromHexString "80028a0a6cfc9c46f9206aa850192e"))

                  refuses "text" [ "expected a zip archive" ] (fun path -> File.WriteAllText(path, "hello"))
                  refuses "empty" [ "expected a zip archive" ] (fun path -> File.WriteAllText(path, ""))
                  refuses "no-pickle" [ "data.pkl" ] (stored [ "a/b", [| 1uy |] ])

                  refuses
                      "two"
                      [ "expected one entry data.pkl" ]
                      (stored [ "a/data.pkl", pickle; "b/data.pkl", pickle ])

                  refuses "script" [ "TorchScript" ] (stored (("a/constants.pkl", [| 1uy |]) :: complete))

                  refuses
                      "bomb"
                      [ "is compressed" ]
                      (zip CompressionLevel.SmallestSize [ "a/data.pkl", Array.zeroCreate 1_000_000 ])

                  refuses "big" [ "byte order little" ] (stored (("a/byteorder", "big"B) :: complete))
                  refuses "missing" [ "data/1" ] (stored (List.take 2 complete))

                  refuses "cut" [ "" ] (fun path ->
                      stored complete path
                      use stream = new FileStream(path, FileMode.Open)
                      stream.SetLength(stream.Length - 30L))

                  refuses "damaged" [ "checksum" ] (fun path ->
                      archive path pickle storages
                      let bytes = File.ReadAllBytes path

                      let at =
                          Encoding.Latin1.GetString(bytes).IndexOf("data/1FB", StringComparison.Ordinal)

                      bytes[at + 8 + 64] <- bytes[at + 8 + 64] ^^^ 1uy
                      File.WriteAllBytes(path, bytes))

                  let path = Path.Combine(folder, "complete")
                  stored complete path
                  Expect.equal (TorchFile.readAll path).Count 2 "a complete one is read")
          } ]
