module Reft.Core.Tests.Files.AtomicFileTests

open System
open System.IO
open System.Runtime.InteropServices
open System.Text
open Expecto
open Reft.Core
open Reft.Core.Tests
open TorchSharp

[<Struct; StructLayout(LayoutKind.Sequential)>]
type private Limit = { Soft: unativeint; Hard: unativeint }

[<DllImport("libc", SetLastError = true)>]
extern int private getrlimit(int resource, Limit& limit)

[<DllImport("libc", SetLastError = true)>]
extern int private setrlimit(int resource, Limit& limit)

[<DllImport("libc", SetLastError = true)>]
extern nativeint private signal(int number, nativeint handler)

/// Lets the kernel refuse to write files beyond some bytes, as it does on a full disk.
let private withFileSizeLimit (bytes: int) (body: unit -> unit) =
    let fileSize, sigxfsz, ignoreSignal = 1, 25, nativeint 1
    let mutable old = { Soft = 0un; Hard = 0un }
    Expect.equal (getrlimit (fileSize, &old)) 0 "getrlimit"
    let previous = signal (sigxfsz, ignoreSignal)
    let mutable small = { old with Soft = unativeint bytes }

    try
        Expect.equal (setrlimit (fileSize, &small)) 0 "setrlimit"
        body ()
    finally
        setrlimit (fileSize, &old) |> ignore
        signal (sigxfsz, previous) |> ignore

let private text (content: string) (stream: Stream) =
    stream.Write(ReadOnlySpan(Encoding.UTF8.GetBytes content))

/// The folder's files and what they hold.
let private contents (folder: string) =
    Directory.GetFiles folder
    |> Array.map (fun path -> Path.GetFileName path, File.ReadAllText path)
    |> Array.sortBy fst
    |> List.ofArray

[<Tests>]
let tests =
    testList
        "AtomicFile"
        [ test "writes, replaces, and makes the folder" {
              Golden.inTemporaryFolder (fun folder ->
                  let inner = Path.Combine(folder, "a", "b")
                  AtomicFile.write (Path.Combine(inner, "x")) (text "one")
                  AtomicFile.write (Path.Combine(inner, "x")) (text "two")
                  Expect.equal (contents inner) [ "x", "two" ] "content")
          }

          test "when the writer fails, the old file is intact and nothing is left" {
              Golden.inTemporaryFolder (fun folder ->
                  let path = Path.Combine(folder, "x")
                  AtomicFile.write path (text "old")

                  Golden.throwsWith<IOException> [ "no space" ] (fun () ->
                      AtomicFile.write path (fun stream ->
                          text "half of the n" stream
                          raise (IOException "no space")))

                  Expect.equal (contents folder) [ "x", "old" ] "content")
          }

          test "when the kernel refuses to write on, the old file is intact and nothing is left" {
              Golden.inTemporaryFolder (fun folder ->
                  let path = Path.Combine(folder, "x.safetensors")
                  Safetensors.write path Map.empty [ "a", torch.ones 8L ]
                  let before = File.ReadAllBytes path
                  let large = torch.ones 1_000_000L

                  withFileSizeLimit 262144 (fun () ->
                      Golden.throwsWith<exn> [ "too large" ] (fun () ->
                          Safetensors.write path Map.empty [ "a", large ]))

                  Expect.equal (File.ReadAllBytes path) before "old file"
                  Expect.equal (Directory.GetFileSystemEntries(folder).Length) 1 "files left"
                  Safetensors.write path Map.empty [ "a", large ])
          }

          test "of several files none is replaced until all are written" {
              Golden.inTemporaryFolder (fun folder ->
                  AtomicFile.writeAll folder [ "weights", text "w1"; "manifest", text "m1" ]

                  Golden.throwsWith<IOException> [] (fun () ->
                      AtomicFile.writeAll
                          folder
                          [ "weights", text "w2"; "manifest", (fun _ -> raise (IOException "no space")) ])

                  Expect.equal (contents folder) [ "manifest", "m1"; "weights", "w1" ] "content")
          }

          test "names that point elsewhere are refused" {
              Golden.inTemporaryFolder (fun folder ->
                  for name in [ "../x"; "a/b"; ""; ".."; "." ] do
                      Golden.throwsWith<ArgumentException> [ "plain file name" ] (fun () ->
                          AtomicFile.writeAll folder [ name, text "x" ])

                  Golden.throwsWith<ArgumentException> [ "once" ] (fun () ->
                      AtomicFile.writeAll folder [ "x", text "1"; "x", text "2" ])

                  Expect.isEmpty (contents folder) "content")
          } ]
