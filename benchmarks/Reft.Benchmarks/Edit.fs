/// One LoReFT edit with its gradient, ours against the formula as pyreft writes it, at the size of a 7B model's layer.
module Reft.Benchmarks.Edit

open TorchSharp
open Reft.Core
open Reft.Benchmarks.Arguments

let private width, rank, rows = 4096, 8, 8 * 14

/// One of the two ways: parameters, and rows → edited rows.
type private Way =
    { Name: string
      Theta: Parameters
      Apply: Parameters -> Tensor -> Tensor }

/// The parametrised weight is computed anew each time it is read, from a d×d base, and one edit reads it twice.
let private pyreft (width: int) : Way =
    let what =
        Loreft.create
            { Loreft.options rank with
                Orthonormal = Orthonormal.householder }

    { Name = "as pyreft writes it"
      Theta = what.Init width (Rng.ofSeed 1L) |> Parameters.keep
      Apply =
        fun theta h ->
            let weight () = Orthonormal.householder.Apply theta
            let rotated = torch.mm (h, weight ())
            let target = torch.nn.functional.linear (h, theta["weight"], theta["bias"])
            h + torch.mm (target - rotated, (weight ()).t()) }

/// The same R, W and b, under the default map.
let private ours (theirs: Way) : Way =
    let what = Loreft.create (Loreft.options rank)

    let theta =
        Scope.free (fun () ->
            [ Orthonormal.householder.Apply theirs.Theta
              |> Orthonormal.free
              |> Parameters.entry Role.Undecayed "rotation"
              Parameters.entry Role.Decayed "weight" theirs.Theta["weight"]
              Parameters.entry Role.Undecayed "bias" theirs.Theta["bias"] ]
            |> Parameters
            |> Parameters.keep)

    { Name = "LoReFT here"
      Theta = theta
      Apply = fun theta h -> what.Bind theta |> Intervention.apply (Context.ofRows [||]) h }

let private draw seed (width: int) =
    Rng.normal [ int64 rows; int64 width ] (Rng.ofSeed seed)

let private edit (way: Way) (h: Tensor) (gradient: Tensor) =
    let flat = way.Theta.Vector

    fun () ->
        Scope.free (fun () ->
            let leaf, rows = Autograd.variable flat, Autograd.variable h
            let edited = way.Apply (way.Theta.OfVector leaf) rows
            Autograd.tryPullback GraphUse.Free edited gradient [ leaf; rows ] |> ignore)

let private relative (a: Tensor) (b: Tensor) =
    ((a - b).norm() / b.norm ()).item<float32>()

let private expectSame (a: Way) (b: Way) (h: Tensor) =
    Scope.free (fun () ->
        let error = relative (a.Apply a.Theta h) (b.Apply b.Theta h)

        if not (error < 1e-4f) then
            invalidOp $"the two ways must give the same rows: their relative difference is {error}")

/// What the parameters and constants take, what the forward pass holds for the backward pass, and how far one whole edit
/// raises the resident peak, in MB.
let private memory (way: Way) =
    let parameters =
        way.Theta.Entries |> Seq.sumBy (fun p -> 4.0 * float (p.Value.numel ()) / 1e6)

    Scope.free (fun () ->
        let h, gradient = draw 2L width, draw 3L width
        let leaf, rows = Autograd.variable way.Theta.Vector, Autograd.variable h
        Machine.settle ()
        let before = Heap.inUse ()

        let held =
            Scope.free (fun () ->
                let edited = way.Apply (way.Theta.OfVector leaf) rows
                let held = Heap.inUse () - before - 4e-6 * float (edited.numel ())
                held)

        parameters, held, Heap.rise (edit way h gradient))

let private warm () =
    // The code of every operation is read from its file before memory is counted.
    for way in [ let theirs = pyreft 64 in yield! [ ours theirs; theirs ] ] do
        Scope.free (fun () -> edit way (draw 2L 64) (draw 3L 64) ())

let run (options: Arguments) : int =
    Machine.start options.Threads
    printfn "## edit"
    printfn ""
    printfn $"{Machine.facts ()}"
    printfn ""
    printfn $"### edit: {rows} rows (batch 8, 14 positions) of {width}, rank {rank}, fp32, forward and backward"
    warm ()
    let theirs = pyreft width
    let mine = ours theirs
    Scope.free (fun () -> expectSame mine theirs (draw 2L width))

    // Ours first: freed memory stays with the process, so that a later reading can only look smaller.
    let memories = [ mine, memory mine; theirs, memory theirs ]

    let series =
        Scope.free (fun () ->
            let h, gradient = draw 2L width, draw 3L width

            [ mine.Name, edit mine h gradient; theirs.Name, edit theirs h gradient ]
            |> Timing.interleave (plan options))

    Table.print [ "median"; "wall ms"; "CPU ms" ] (Table.series series)

    Table.print
        [ "ratio"; "wall"; "CPU" ]
        [ Timing.ratio series[1] series[0]
          |> Table.ratio "as pyreft writes it ÷ here (aim ≥ 20)" ]

    Table.print
        [ "memory, MB"
          "parameters and constants"
          "held for the backward pass"
          "rise of the peak" ]
        [ for way, (parameters, held, peak) in memories -> [ way.Name; $"{parameters:F2}"; $"{held:F2}"; $"{peak:F1}" ] ]

    Parameters.dispose mine.Theta
    Parameters.dispose theirs.Theta
    0
