/// Comparing alternatives side by side. They take turns within each round, so that a machine that becomes slower or
/// busier does so for all of them, and a ratio is the median of the rounds' ratios. CPU seconds stand beside wall
/// seconds: they change less when something else runs.
module Reft.Benchmarks.Timing

open System
open System.Diagnostics

[<Struct>]
type Sample = { Wall: float; Cpu: float }

/// The samples of an alternative, one per round.
type Series = { Name: string; Samples: Sample[] }

let median (values: float seq) : float =
    let sorted = values |> Seq.sort |> Seq.toArray
    let middle = sorted.Length / 2

    if sorted.Length % 2 = 1 then
        sorted[middle]
    else
        (sorted[middle - 1] + sorted[middle]) / 2.0

// Not Process.TotalProcessorTime, which counts in ticks of 10 ms.
let private cpu () =
    Environment.CpuUsage.TotalTime.TotalSeconds

/// How long a comparison goes on.
type Plan =
    {
        /// Rounds, at least.
        Rounds: int
        /// Seconds, at least: cheap alternatives get more rounds.
        Seconds: float
        /// Seconds of rounds that are not counted, at least one round: the runtime compiles code better as it gets warm.
        Warmup: float
    }

/// The seconds of one run.
let once (run: unit -> unit) : Sample =
    let cpuBefore, clock = cpu (), Stopwatch.GetTimestamp()
    run ()

    { Wall = Stopwatch.GetElapsedTime(clock).TotalSeconds
      Cpu = cpu () - cpuBefore }

/// Rounds until a plan is fulfilled: `round` gets their number.
let repeat (plan: Plan) (forget: unit -> unit) (round: int -> unit) : unit =
    let clock = Stopwatch.StartNew()
    round 0

    while clock.Elapsed.TotalSeconds < plan.Warmup do
        round 0

    forget ()
    clock.Restart()
    let mutable number = 0

    while number < plan.Rounds || clock.Elapsed.TotalSeconds < plan.Seconds do
        round number
        number <- number + 1

/// Every alternative once per round; every other round runs in reverse, so that none always follows the same neighbour.
let interleave (plan: Plan) (alternatives: (string * (unit -> unit)) list) : Series list =
    let runs = alternatives |> List.map snd |> List.toArray
    let samples = runs |> Array.map (fun _ -> ResizeArray<Sample>())

    let round number =
        for turn in 0 .. runs.Length - 1 do
            let i = if number % 2 = 0 then turn else runs.Length - 1 - turn
            samples[i].Add(once runs[i])

    repeat plan (fun () -> samples |> Array.iter (fun s -> s.Clear())) round

    alternatives
    |> List.mapi (fun i (name, _) ->
        { Name = name
          Samples = samples[i].ToArray() })

let wall (series: Series) : float =
    series.Samples |> Seq.map (fun s -> s.Wall) |> median

let cpuSeconds (series: Series) : float =
    series.Samples |> Seq.map (fun s -> s.Cpu) |> median

/// The sum of several series, round by round.
let sum (name: string) (series: Series list) : Series =
    let rounds = series.Head.Samples.Length

    { Name = name
      Samples =
        Array.init rounds (fun round ->
            { Wall = series |> List.sumBy (fun s -> s.Samples[round].Wall)
              Cpu = series |> List.sumBy (fun s -> s.Samples[round].Cpu) }) }

/// a − b, round by round.
let difference (name: string) (a: Series) (b: Series) : Series =
    { Name = name
      Samples =
        Array.map2
            (fun x y ->
                { Wall = x.Wall - y.Wall
                  Cpu = x.Cpu - y.Cpu })
            a.Samples
            b.Samples }

/// The medians of a ÷ b over the rounds, in wall seconds and in CPU seconds.
let ratio (a: Series) (b: Series) : Sample =
    let of' (part: Sample -> float) =
        Array.map2 (fun x y -> part x / part y) a.Samples b.Samples |> median

    { Wall = of' (fun s -> s.Wall)
      Cpu = of' (fun s -> s.Cpu) }
