/// The cost of a decoded token, with and without interventions on the prompt.
module Reft.Benchmarks.Decoding

open System.Collections.Generic
open Reft.Core

let private options newTokens : GenerateOptions =
    { MaxNewTokens = newTokens
      StopIds = []
      Padding = PaddingSide.Left }

/// A whole generation, prefill included.
let complete (newTokens: int) (bound: BoundReft list) (model: Transformer) (prompts: int[] list) : unit -> unit =
    fun () -> Generate.complete (options newTokens) bound model prompts |> ignore

/// One token of each row: the first one asked for computes them all.
let private step rows (tokens: IEnumerator<GeneratedToken>) () =
    for _ in 1..rows do
        tokens.MoveNext() |> ignore

/// Two generations of the same prompts that take turns token by token, after their prefill: the series of the steps
/// without and with <paramref name="bound"/>.
let compare
    (plan: Timing.Plan)
    (newTokens: int)
    (bound: BoundReft)
    (model: Transformer)
    (prompts: int[] list)
    : Timing.Series * Timing.Series =
    let rows = prompts.Length
    let plain, tuned = ResizeArray<Timing.Sample>(), ResizeArray<Timing.Sample>()

    let generate bound =
        (Generate.greedy (options newTokens) bound model prompts).GetEnumerator()

    let alternate
        (a: IEnumerator<GeneratedToken>, samplesA: ResizeArray<Timing.Sample>)
        (b: IEnumerator<GeneratedToken>, samplesB: ResizeArray<Timing.Sample>)
        =
        step rows a ()
        step rows b ()

        for turn in 2..newTokens do
            if turn % 2 = 0 then
                samplesA.Add(Timing.once (step rows a))
                samplesB.Add(Timing.once (step rows b))
            else
                samplesB.Add(Timing.once (step rows b))
                samplesA.Add(Timing.once (step rows a))

    let forget () =
        plain.Clear()
        tuned.Clear()

    Timing.repeat plan forget (fun round ->
        // Which cache is allocated first changes from round to round. The enumerators end in reverse order, as scopes must.
        if round % 2 = 0 then
            use a = generate []
            use b = generate [ bound ]
            alternate (a, plain) (b, tuned)
        else
            use b = generate [ bound ]
            use a = generate []
            alternate (b, tuned) (a, plain))

    let series name (samples: ResizeArray<Timing.Sample>) : Timing.Series =
        { Name = name
          Samples = samples.ToArray() }

    series "decoded token, without adapter" plain, series "decoded token, adapter on the prompt" tuned
