module Reft.Core.Tests.Tensors.AutogradTests

open System
open System.IO
open System.Text.RegularExpressions
open Expecto
open TorchSharp
open Reft.Core
open Reft.Core.Tests
open Reft.Core.Tests.Tensors.Close

let private case name body = testCase name (fun () -> scoped body)

let private throws parts (body: unit -> Tensor list) message =
    throwsWith parts (body >> List.head) message

let private gradients =
    testList
        "gradients"
        [ case "by several leaves, each of its own shape" (fun () ->
              let a = dsharp.tensor [ 1.0; 2.0 ] |> Autograd.variable
              let b = dsharp.tensor [ [ 3.0 ] ] |> Autograd.variable

              let da, db =
                  Autograd.gradients (dsharp.sum (a * a * b)) [ a; b ] |> fun g -> g[0], g[1]

              expectValues [ 6.0; 12.0 ] da "da"
              Expect.equal (List.ofArray db.shape) [ 1L; 1L ] "shape of db"
              expectValues [ 5.0 ] db "db"
              Expect.isTrue (isNull a.grad && isNull b.grad) ".grad is cleared")
          case "a variable shares its values" (fun () ->
              let x = dsharp.tensor [ 1.0; 2.0 ]
              let v = Autograd.variable x
              x.mul_ (2.0.ToScalar()) |> ignore
              expectValues [ 2.0; 4.0 ] v "no copy"
              Expect.isFalse x.requires_grad "x itself is left alone")
          case "stale gradients are not added" (fun () ->
              let a = dsharp.tensor 3.0 |> Autograd.variable
              a.grad <- dsharp.tensor 100.0
              expectValues [ 6.0 ] (Autograd.gradients (a * a) [ a ]).Head "fresh"
              expectValues [ 6.0 ] (Autograd.gradients (a * a) [ a ]).Head "again")
          case "recorded gradients can be differentiated" (fun () ->
              let a = dsharp.tensor 3.0 |> Autograd.variable
              let g = (Autograd.gradientsWith GraphUse.Record (dsharp.pow (a, 3.0)) [ a ]).Head
              expectValues [ 18.0 ] (Autograd.gradients g [ a ]).Head "second derivative")
          case "tryGradients tells dependence" (fun () ->
              let a, b =
                  dsharp.tensor 3.0 |> Autograd.variable, dsharp.tensor 3.0 |> Autograd.variable

              let found = Autograd.tryGradients GraphUse.Free (a * a) [ a; b ]
              Expect.equal (found |> List.map Option.isSome) [ true; false ] "by a, not by b")
          case "bad input throws and never ends the process" (fun () ->
              let a, b = dsharp.ones 2 |> Autograd.variable, dsharp.ones 3 |> Autograd.variable
              throws [ "one element"; "[2]" ] (fun () -> Autograd.gradients (a * 2.0) [ a ]) "not a scalar"

              throws
                  [ "input 1"; "[3]"; "depend" ]
                  (fun () -> Autograd.gradients (dsharp.sum a) [ a; b ])
                  "independent"

              throws [ "input 0"; "depend" ] (fun () -> Autograd.gradients (dsharp.tensor 1.0) [ a ]) "a constant"

              throws [ "input 0"; "detached" ] (fun () -> Autograd.gradients (dsharp.sum a) [ a.detach () ]) "detached"

              throws [ "input 0"; "leaf" ] (fun () -> Autograd.gradients (dsharp.sum a) [ a * 1.0 ]) "not a leaf"

              throwsWith
                  [ "[2]"; "[3]" ]
                  (fun () -> (Autograd.tryPullback GraphUse.Free (a * 2.0) (dsharp.ones 3) [ a ]).Head.Value)
                  "a cotangent of another shape"

              Expect.isTrue (isNull a.grad && isNull b.grad) ".grad is cleared after failures")
          case "errors inside the backward pass are exceptions too" (fun () ->
              let a = dsharp.ones 2 |> Autograd.variable
              let y = dsharp.sum (dsharp.exp a)
              Autograd.gradients y [ a ] |> ignore
              Expect.throws (fun () -> Autograd.gradients y [ a ] |> ignore) "the graph was freed by the first pass"
              let e = dsharp.exp a
              let z = dsharp.sum (e * e)
              e.add_ (1.0.ToScalar()) |> ignore
              Expect.throws (fun () -> Autograd.gradients z [ a ] |> ignore) "a saved value was changed in place"
              Expect.isTrue (isNull a.grad) ".grad is cleared") ]

let private residentBytes () =
    // Without the garbage that the runtime has not yet collected.
    GC.Collect()
    GC.WaitForPendingFinalizers()
    GC.Collect()
    // The kernel's own figure: WorkingSet64 of a Process object is a snapshot.
    let pages = (File.ReadAllText "/proc/self/statm").Split(' ')[1] |> int64
    pages * int64 Environment.SystemPageSize

/// Derivatives must leave no tensor behind and no native memory either: a recorded gradient left in .grad is a cycle that
/// the count does not see. One 4 kB tensor left by each of 10,000 calls would be 40 MB.
let private allowed = 8_000_000L

let private growth (times: int) =
    let x = dsharp.randn ([ 1000 ], Rng.ofSeed 1L)
    let v = dsharp.randn ([ 1000 ], Rng.ofSeed 2L)

    let f (x: Tensor) =
        dsharp.sum (dsharp.sin x * dsharp.exp x)

    let round count =
        for _ in 1..count do
            use product = dsharp.hessianv f x v
            ignore product

    round 300
    let tensors, bytes = Golden.liveTensors (), residentBytes ()
    round times
    Tensor.TotalCount - tensors, residentBytes () - bytes

let private memory =
    testList
        "memory"
        [ case "10,000 Hessian-vector products leave no tensor and no memory behind" (fun () ->
              let tensors, bytes = growth 10_000
              Expect.equal tensors 0L "live tensors"
              Expect.isLessThan bytes allowed $"resident memory grew by {bytes} bytes")
          case "nested derivatives leave none either" (fun () ->
              let x = dsharp.randn ([ 1000 ], Rng.ofSeed 1L)
              let cube x = dsharp.sum (dsharp.pow (x, 3.0))
              let slope x = dsharp.sum (dsharp.grad cube x)

              let round count =
                  for _ in 1..count do
                      use curvature = dsharp.grad (fun x -> dsharp.sum (dsharp.grad slope x)) x
                      ignore curvature

              round 100
              let tensors, bytes = Golden.liveTensors (), residentBytes ()
              round 5_000
              Expect.equal (Tensor.TotalCount - tensors) 0L "live tensors"
              let grown = residentBytes () - bytes
              Expect.isLessThan grown allowed $"resident memory grew by {grown} bytes") ]

let rec private sourceFolder (folder: string) =
    let candidate = Path.Combine(folder, "src", "Reft.Core")

    if Directory.Exists candidate then
        candidate
    else
        match Path.GetDirectoryName folder with
        | null -> failtest "src/Reft.Core was not found above the tests"
        | parent -> sourceFolder parent

let private guarded =
    testList
        "guarded natives"
        [ for pattern, owner in
              [ @"autograd\.(grad|backward)\b|\w\.backward\s*\(", "Autograd.fs"
                @"\.matmul\b", "Dsharp.Products.fs" ] do
              test $"only {owner} matches {pattern}" {
                  let users =
                      [ for file in
                            Directory.EnumerateFiles(
                                sourceFolder AppContext.BaseDirectory,
                                "*.fs",
                                SearchOption.AllDirectories
                            ) do
                            let code =
                                File.ReadAllLines file
                                |> Array.filter (fun line ->
                                    let line = line.Trim()

                                    not (
                                        line.StartsWith "//"
                                        || line.StartsWith "override"
                                        || line.StartsWith "static member"
                                    ))
                                |> Array.map (fun line -> line.Replace("dsharp.matmul", ""))

                            if code |> Array.exists (fun line -> Regex.IsMatch(line, pattern)) then
                                Path.GetFileName file ]

                  Expect.equal users [ owner ] "the one file that guards it"
              } ]

[<Tests>]
let tests = testList "Autograd" [ gradients; memory; guarded ]
