/// The command line of the benchmarks.
module Reft.Benchmarks.Arguments

open System
open TorchSharp

type Arguments =
    {
        /// ratios, pyreft, methods, load, edit, int8, scale, tokens or all.
        Command: string
        /// A smoke run: a few rounds, few steps. Its figures mean nothing.
        Quick: bool
        /// libtorch's threads.
        Threads: int
        /// Rounds of each comparison; each benchmark has a default.
        Rounds: int option
        /// fp32, bf16 or both.
        Dtypes: string list
        /// The models of `ratios`: small, pyreft or both.
        Models: string list
        /// Of `methods`, in a child: which method and which setting's memory is measured.
        Case: string option
        /// Where `methods` writes its plot.
        Plot: string option
        /// Optimizer steps of the memory comparison of `ratios`.
        Steps: int option
        /// Where `load` writes its checkpoint; a fresh temporary folder where not given.
        Folder: string option
        /// How `scale` keeps weights: stored, int8 or both.
        Weights: string list
        /// Leaves the checkpoint of `load` for another run.
        Keep: bool
        /// Set in the processes that a benchmark starts, one per measurement whose memory must be seen alone.
        Child: bool
    }

let usage =
    """usage: dotnet run -c Release --project benchmarks/Reft.Benchmarks -- COMMAND [OPTION…]

  ratios   a LoReFT step, its interventions and a decoded token ÷ the same without; memory over many steps
  pyreft   the configuration on which pyreft was measured: step ÷ its matrix products, generation, peak memory
  methods  LoReFT, LoRA, full fine-tuning and a plain forward pass, at equal work: time, memory, and what was predicted;
           over model size, sequence length, layers, positions and rank
  load     a random checkpoint of the shape of Llama-3.2-1B: loading, memory, scoring, generating, training
  edit     one LoReFT edit with its gradient at the width of a 7B model, against the formula as pyreft writes it
  int8     the model of this repository with int8 weights: what that costs in accuracy, and saves
  scale    a random checkpoint of the shape of Llama-2-7B, as stored and as int8: memory, bytes read, scoring, a LoReFT step
  tokens   real vocabularies on one thread: tokens per second, loading, memory (needs the target install-vocabularies)
  all      ratios, pyreft, methods, edit and int8, and load unless --quick

  --quick            a smoke run in a few rounds: it shows that everything runs, its figures mean nothing
  --threads N        libtorch's threads (default 2)
  --rounds N         rounds of each comparison, at least; cheap ones go on for 10 s (default 9)
  --dtype NAME       fp32, bf16 or both (default both; load is bf16)
  --model NAME       of ratios: small, pyreft or both (default both)
  --steps N          of ratios: optimizer steps of the memory comparison (default 1000)
  --folder DIR       of load and scale: where the checkpoint of 2.5 or 13.5 GB is written; one that is there already is
                     used (default: a new folder in the system's temporary folder)
                     of tokens: where the vocabularies are (default: REFT_NPM_PACKAGES, or artifacts/vocabularies)
  --weights NAME     of scale: stored, int8 or both (default both)
  --plot FILE        of methods: where the growth is plotted, .svg or .png
  --keep             of load and scale: leave the checkpoint where it is"""

let private defaults command =
    { Command = command
      Quick = false
      Threads = 2
      Rounds = None
      Dtypes = [ "fp32"; "bf16" ]
      Models = [ "small"; "pyreft" ]
      Case = None
      Plot = None
      Steps = None
      Folder = None
      Weights = [ "stored"; "int8" ]
      Keep = false
      Child = false }

let private count name (text: string) =
    match Int32.TryParse text with
    | true, n when n > 0 -> n
    | _ -> invalidArg name $"{name}: expected a whole number above 0, found '{text}'"

let private oneOrBoth name (known: string list) text =
    if text = "both" then
        known
    elif List.contains text known then
        [ text ]
    else
        let list = String.concat ", " known
        invalidArg name $"{name}: expected {list} or both, found '{text}'"

let rec private read (options: Arguments) (rest: string list) =
    match rest with
    | [] -> options
    | "--quick" :: rest -> read { options with Quick = true } rest
    | "--keep" :: rest -> read { options with Keep = true } rest
    | "--child" :: rest -> read { options with Child = true } rest
    | "--threads" :: text :: rest ->
        read
            { options with
                Threads = count "--threads" text }
            rest
    | "--rounds" :: text :: rest ->
        read
            { options with
                Rounds = Some(count "--rounds" text) }
            rest
    | "--steps" :: text :: rest ->
        read
            { options with
                Steps = Some(count "--steps" text) }
            rest
    | "--dtype" :: text :: rest ->
        read
            { options with
                Dtypes = oneOrBoth "--dtype" [ "fp32"; "bf16" ] text }
            rest
    | "--model" :: text :: rest ->
        read
            { options with
                Models = oneOrBoth "--model" [ "small"; "pyreft" ] text }
            rest
    | "--weights" :: text :: rest ->
        read
            { options with
                Weights = oneOrBoth "--weights" [ "stored"; "int8" ] text }
            rest
    | "--case" :: name :: rest -> read { options with Case = Some name } rest
    | "--plot" :: path :: rest -> read { options with Plot = Some path } rest
    | "--folder" :: folder :: rest -> read { options with Folder = Some folder } rest
    | other :: _ -> invalidArg other $"unknown option or missing value: {other}"

/// The arguments, or what is wrong with them.
let parse (args: string list) : Result<Arguments, string> =
    match args with
    | ("ratios" | "pyreft" | "methods" | "load" | "edit" | "int8" | "scale" | "tokens" | "all" as command) :: rest ->
        try
            read (defaults command) rest |> Ok
        with :? ArgumentException as e ->
            Error e.Message
    | other :: _ -> Error $"unknown command: {other}"
    | [] -> Error "expected a command"

/// The arguments again, for a process that `all` starts.
let again (options: Arguments) : string list =
    let given name value =
        value |> Option.map (fun v -> [ name; string v ]) |> Option.defaultValue []

    let choice name (chosen: string list) =
        match chosen with
        | [ one ] -> [ name; one ]
        | _ -> []

    [ "--threads"
      string options.Threads
      if options.Quick then
          "--quick"
      if options.Keep then
          "--keep"
      yield! given "--rounds" options.Rounds
      yield! given "--steps" options.Steps
      yield! given "--case" options.Case
      yield! given "--plot" options.Plot
      yield! given "--folder" options.Folder
      yield! choice "--weights" options.Weights
      yield! choice "--dtype" options.Dtypes
      yield! choice "--model" options.Models ]

/// The arguments for a process that measures one thing.
let forChild (changed: Arguments) : string list = "--child" :: again changed

/// How long each comparison goes on: at least two rounds, so that each order of the alternatives comes once.
let plan (options: Arguments) : Timing.Plan =
    let rounds = options.Rounds |> Option.defaultValue (if options.Quick then 2 else 9)

    { Rounds = max 2 rounds
      Seconds = if options.Quick then 0.0 else 10.0
      Warmup = if options.Quick then 0.0 else 3.0 }

let dtypeOf (name: string) : torch.ScalarType =
    match name with
    | "bf16" -> torch.bfloat16
    | _ -> torch.float32
