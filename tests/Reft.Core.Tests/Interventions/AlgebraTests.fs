module Reft.Core.Tests.Interventions.AlgebraTests

open Expecto
open FsCheck
open TorchSharp
open Reft.Core
open Reft.Core.Syntax
open Reft.Core.Tests.TinyModel

let private width = 6

/// A row-wise edit that is not linear, so that the laws do not hold by accident.
let private shift name =
    Intervention.define
        name
        (fun width rng -> Parameters.ofSeq [ "v", Rng.normal [ int64 width ] rng ])
        (fun theta _ h -> theta["v"] * dsharp.tanh h)

let rec private ofTree tree =
    match tree with
    | 0 -> Intervention.zero
    | 1 -> loreft 2
    | 2 -> shift "a"
    | 3 -> 0.5 * loreft 3
    | 4 -> loreft 1 + shift "b"
    | 5 -> shift "a" >=> loreft 2
    | 6 -> Intervention.onSubspace [ 1; 2 ] (loreft 4)
    | 7 -> gate (shift "g") (loreft 2)
    | 8 -> Intervention.dropout 0.25 (loreft 2)
    | 9 -> gate Gates.sigmoid (shift "a")
    | 10 -> Intervention.dropoutOutput 0.5 (Red.create + direftPaper 2)
    | _ -> -1.0 * (shift "c" + loreft 2)

let private noContext = (Context.ofRows [||])

let private changed (what: Intervention) (theta: Parameters) (h: Tensor) =
    Intervention.apply noContext h (what.Bind theta)

let private rows () =
    Rng.normal [ 5L; int64 width ] (Rng.ofSeed 11L)

let private theta (what: Intervention) = what.Init width (Rng.ofSeed 3L)

/// Equal as data, in their parameters' names and in what they do with the same numbers.
let private same (a: Intervention) (b: Intervention) =
    let thetaA, thetaB = theta a, theta b
    let h = rows ()

    let numbers = thetaB.OfVector thetaA.Vector

    a.Form = b.Form
    && thetaA.Names = thetaB.Names
    && relative (changed a thetaA h) (changed b numbers h) < 1e-6

let private law name (check: Intervention -> Intervention -> Intervention -> bool) =
    testPropertyWithConfig
        { FsCheckConfig.defaultConfig with
            maxTest = 60 }
        name
        (fun (a: int) (b: int) (c: int) ->
            use _ = torch.NewDisposeScope()
            let pick n = ofTree (((n % 12) + 12) % 12)
            check (pick a) (pick b) (pick c))

[<Tests>]
let tests =
    Native.load ()

    testList
        "Algebra"
        [ law "+ is associative, parameter names included" (fun a b c -> same ((a + b) + c) (a + (b + c)))
          law "+ is commutative in what it does" (fun a b _ ->
              let h = rows ()
              let sum, turned = a + b, b + a

              let both (first: Intervention) (second: Intervention) =
                  // The same numbers for the same part, whichever side it stands on.
                  let change (what: Intervention) = changed what (theta what) h - h
                  change first + change second + h

              relative (both a b) (both b a) < 1e-6 && sum.Parts.Length = turned.Parts.Length)
          law "a sum adds the changes of its parts" (fun a b _ ->
              let h = rows ()
              let sum = a + b
              let numbers = theta sum

              if not sum.Form.IsSum then
                  same sum (if a.Form = Form.Zero then b else a)
              else
                  let total =
                      sum.Parts
                      |> List.mapi (fun i part -> changed part (numbers.Sub(string i)) h - h)
                      |> List.reduce (fun x y -> x + y)

                  relative (changed sum numbers h) (h + total) < 1e-5)
          law ">=> is associative, parameter names included" (fun a b c -> same ((a >=> b) >=> c) (a >=> (b >=> c)))
          law "a chain applies its parts in order" (fun a b _ ->
              let chain = a >=> b
              let numbers = theta chain

              if not chain.Form.IsThen then
                  same chain (if a.Form = Form.Zero then b else a)
              else
                  let expected =
                      chain.Parts
                      |> List.indexed
                      |> List.fold (fun h (i, part) -> changed part (numbers.Sub(string i)) h) (rows ())

                  relative (changed chain numbers (rows ())) expected < 1e-5)
          law "zero is neutral" (fun a _ _ ->
              same (a + Intervention.zero) a
              && same (Intervention.zero + a) a
              && same (a >=> Intervention.zero) a
              && same (Intervention.zero >=> a) a)
          law "k * a scales the change" (fun a _ _ ->
              let numbers = theta a
              let h = rows ()
              let change = changed a numbers h - h
              relative (changed (-2.0 * a) numbers h) (h - change * 2.0f) < 1e-5)
          law "k * (a + b) = k * a + k * b" (fun a b _ ->
              let sum = a + b

              // A scaled part is no sum: part by part, so that both sides name the same numbers alike.
              let apart =
                  if sum.Form.IsSum then
                      sum.Parts |> List.map (fun part -> 1.5 * part) |> List.reduce (fun x y -> x + y)
                  else
                      1.5 * sum

              let h = rows ()
              let numbers = theta sum

              (theta apart).Names = numbers.Names
              && relative (changed (1.5 * sum) numbers h) (changed apart numbers h) < 1e-5)
          law "a gate that is 1 everywhere changes nothing" (fun a _ _ ->
              let what = gate (Gates.scalar 1.0) a
              let numbers = theta what
              let h = rows ()
              relative (changed what numbers h) (changed a (numbers.Sub "edit") h) < 1e-5)
          law "named twins are the operators" (fun a b _ ->
              same (a + b) (Intervention.add a b)
              && same (0.5 * a) (Intervention.scale 0.5 a)
              && same (a >=> b) (Intervention.andThen b a)
              && same (gate a b) (Intervention.gate a b))
          law "noise: the same state draws the same, another one differs" (fun a b _ ->
              let what = Intervention.dropout 0.5 (a + b)
              let numbers = theta what

              let out seed =
                  let context = Context.ofRows [||] |> Context.withRandom (Rng.ofSeed seed)
                  Intervention.apply context (rows ()) (what.Bind numbers)

              let silent = relative (changed (a + b) (theta (a + b)) (rows ())) (rows ()) < 1e-6

              relative (out 1L) (out 1L) = 0.0
              && (silent || what.Form = Form.Zero || relative (out 1L) (out 2L) > 0.0))
          law "a form gives back the intervention" (fun a b c ->
              let original = (a + b) >=> (0.25 * c)

              let registry =
                  [ "a"; "b"; "c"; "g" ]
                  |> List.fold (fun registry name -> registry |> Registry.add (shift name)) Registry.standard

              same original (Registry.intervention registry original.Form))
          test "the parts of a partition of the latent rows add up to the whole" {
              use _ = torch.NewDisposeScope()
              let whole = loreft 4
              let numbers = theta whole
              let h = rows ()

              let part rows =
                  changed (whole |> Intervention.onSubspace rows) numbers h - h

              let total = part [ 0; 2 ] + part [ 1; 3 ]
              Expect.isLessThan (relative (h + total) (changed whole numbers h)) 1e-6 "sum of the parts"
          }
          test "an edit that changes the rows' shape is refused with both shapes" {
              use _ = torch.NewDisposeScope()

              let bad =
                  Intervention.define "bad" (fun _ _ -> Parameters.empty) (fun _ _ h -> h.narrow (1L, 0L, 2L))

              Expect.throwsC (fun () -> changed bad (theta bad) (rows ()) |> ignore) (fun e ->
                  Expect.stringContains e.Message "'bad'" "name"
                  Expect.stringContains e.Message "[5 × 6]" "expected"
                  Expect.stringContains e.Message "[5 × 2]" "found")
          }
          test "a function that detaches the graph is refused with what was expected" {
              use _ = torch.NewDisposeScope()

              let bad =
                  Intervention.define
                      "cut"
                      (fun width _ -> Parameters.ofSeq [ "v", dsharp.ones width ])
                      (fun theta _ h -> (theta["v"] * h).detach())

              let numbers = theta bad

              let refuse (run: unit -> Tensor) =
                  Expect.throwsC (fun () -> run () |> ignore) (fun e ->
                      Expect.stringContains e.Message "'cut'" "name"
                      Expect.stringContains e.Message "expected a result with a gradient" "expected"
                      Expect.stringContains e.Message "detached" "found")

              refuse (fun () -> changed bad (numbers.OfVector(Autograd.variable numbers.Vector)) (rows ()))

              let constant = Intervention.ofFunction "cut" (fun h -> (h.tanh ()).detach())

              refuse (fun () -> changed constant Parameters.empty (Autograd.variable (rows ())))
              // Without gradients there is nothing to lose.
              changed bad numbers (rows ()) |> ignore
          }
          test "a function of the rows replaces them exactly" {
              use _ = torch.NewDisposeScope()
              let what = Intervention.ofFunction "flip" (fun h -> h.flip 1L)
              let h = rows ()
              Expect.equal (relative (changed what Parameters.empty h) (h.flip 1L)) 0.0 "h′"
              let registry = Registry.standard |> Registry.add what
              Expect.equal (Registry.intervention registry what.Form).Form what.Form "by its name"
          }
          test "an unregistered name and an unknown method are refused by name" {
              let refuse form text =
                  Expect.throwsC (fun () -> Registry.intervention Registry.standard form |> ignore) (fun e ->
                      Expect.stringContains e.Message text "message")

              refuse (Form.Custom "mine") "'mine' is not registered"
              refuse (Form.Method("loroft", [])) "no method 'loroft'"
              refuse (Form.Method("loreft", [ "rnk", FormOption.Int 4 ])) "no option 'rnk'"
              refuse (Form.Method("loreft", [ "rank", FormOption.Text "four" ])) "a whole number"
          }
          test "the latent rows of what has none cannot be chosen" {
              Expect.throwsC (fun () -> Intervention.onSubspace [ 0 ] (shift "a") |> ignore) (fun e ->
                  Expect.stringContains e.Message "no latent rows" "message")
          } ]
