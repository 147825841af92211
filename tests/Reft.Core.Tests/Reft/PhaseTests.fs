/// For every phase, position, tying and component: cached step-by-step logits equal one uncached forward.
module Reft.Core.Tests.Reft.PhaseTests

open Expecto
open TorchSharp
open Reft.Core
open Reft.Core.Syntax
open Reft.Core.Tests
open Reft.Core.Tests.TinyModel

/// How many tokens follow each prompt.
let private continued = 6

let private rows = examples 3L continued [ 15; 9; 12; 7 ]

/// The logits of each row's tokens in one pass over all of them.
let private uncached (prepare: Context -> Context) spec theta (model: Transformer) =
    let batch = Batch.create PaddingSide.Right rows
    let context = Batch.context model batch |> prepare

    let logits =
        model
        |> Reft.attach spec theta context
        |> Transformer.logits context (Batch.ids model.Device batch)

    batch.Spans
    |> Array.mapi (fun row span -> logits[int64 row].narrow(0L, 0L, int64 span.Length))

/// The same with a cache: the prompts in windows of some columns, then their continuations in windows of some steps.
let private cached padding promptWindow decodeWindow (bound: BoundReft) (model: Transformer) =
    let prompts =
        rows |> List.map (fun row -> Example.ofText row.Ids[.. row.Prompt - 1])

    let batch = Batch.create padding prompts
    use cache = model |> Transformer.cache batch.Rows (batch.Columns + continued)

    let found =
        Array.init batch.Rows (fun row -> Array.zeroCreate<Tensor> rows[row].Ids.Length)

    let run offset length (spans: RowSpan[]) (ids: Tensor) =
        let context =
            { (model |> Transformer.context (Some cache) offset length spans) with
                Tokens = rows |> List.mapi (fun i row -> row.Ids[.. spans[i].Length - 1]) |> List.toArray }

        let logits =
            model |> Reft.attachBound bound context |> Transformer.logits context ids

        spans
        |> Array.iteri (fun row span ->
            for token in 0 .. span.Length - 1 do
                let column = span.Column token - offset

                if column >= 0 && column < length then
                    found[row][token] <- logits[int64 row, int64 column])

    let ids = Batch.ids model.Device batch

    for offset in 0..promptWindow .. batch.Columns - 1 do
        let length = min promptWindow (batch.Columns - offset)
        run offset length batch.Spans (ids.narrow (1L, int64 offset, int64 length))

    let mutable spans = batch.Spans

    for step in 0..decodeWindow .. continued - 1 do
        let length = min decodeWindow (continued - step)

        for i in 0 .. length - 1 do
            spans <- spans |> Array.map (RowSpan.append (batch.Columns + step + i))

        let ids =
            rows
            |> List.map (fun row -> row.Ids[row.Prompt + step .. row.Prompt + step + length - 1] |> Array.map int64)
            |> List.toArray
            |> Array.concat

        run (batch.Columns + step) length spans (torch.tensor(ids).view(int64 batch.Rows, int64 length))

    found |> Array.map (fun row -> torch.stack (ResizeArray row, 0L))

let private agreeWith sources spec =
    scoped (fun () ->
        use _ = torch.no_grad ()
        let model = create torch.float32 1L
        let theta = Reft.init spec config (Rng.ofSeed 5L)
        let expected = uncached (Context.withSources sources) spec theta model
        let plain = uncached id [] Parameters.empty model

        Expect.isGreaterThan
            (Array.map2 relative expected plain |> Array.max)
            1e-4
            "the edits reach some row: a case that edits nothing tests nothing"

        use bound = Reft.bind spec theta |> Reft.withSources sources

        for padding in [ PaddingSide.Right; PaddingSide.Left ] do
            for promptWindow, decodeWindow in [ 64, 1; 3, 2; 2, 1; 1, 4 ] do
                let found = cached padding promptWindow decodeWindow bound model

                Array.zip found expected
                |> Array.iteri (fun row (found, expected) ->
                    Expect.isLessThan
                        (relative found expected)
                        2e-5
                        $"{spec[0].When} {spec[0].Where}: row {row}, {padding}, prompt in windows of {promptWindow}, decoding by {decodeWindow}"))

let private agree spec = agreeWith [] spec

let private phases =
    [ "prompt", Phase.Prompt
      "decode", Phase.Decode
      "always", Phase.Always
      "the first two decode steps", Phase.DecodeSteps(0, 2)
      "decode steps 1 to 3", Phase.DecodeSteps(1, 3)
      "decode steps from 2 on", Phase.DecodeSteps(2, 100) ]

/// Chooses tokens by what they are.
let private even =
    PositionFunction.create "even" (fun row ->
        row.Ids
        |> Seq.indexed
        |> Seq.filter (fun (_, id) -> id % 2 = 0)
        |> Seq.map fst
        |> Seq.toList)

/// Chooses by what came before as well, so that its answer about a token changes as the row grows.
let private newest =
    PositionFunction.create "newest" (fun row ->
        [ for token in 0 .. row.Ids.Length - 1 do
              if token % 3 = row.Ids[row.Ids.Length - 1] % 3 then
                  token ])

let private anywhere =
    [ first 2
      span 1 3
      every 2
      all
      Positions.Explicit [ 4; 0 ]
      first 1 + span 2 2
      Positions.Function even
      Positions.Function newest
      Positions.Function even + first 2 ]

let private inPrompts =
    [ last 2
      first 2 + last 2
      first 1 + span 2 2 + last 1
      Positions.Pyreft
          { First = 2
            Last = 2
            Padding = PyreftPadding.Sink } ]

let private places =
    Component.names |> List.map (fun (place, _) -> Site.create 0 place)

let private someHeads =
    [ Site.create 1 Component.Query |> Site.heads 1 2
      Site.create 1 Component.Key |> Site.heads 1 1
      Site.create 1 Component.Value |> Site.heads 0 1
      Site.create 1 Component.AttentionValue |> Site.heads 0 1
      Site.create 1 Component.AttentionValue |> Site.heads 2 2 ]

[<Tests>]
let tests =
    testList
        "Phases"
        [ for name, phase in phases do
              test $"cached windows equal one pass at every component and at some heads: {name}" {
                  loreft 2 |> at (places @ someHeads) (every 2) |> ReftSpec.during phase |> agree
              }

              for where in
                  (if phase = Phase.Prompt then
                       anywhere @ inPrompts
                   else
                       anywhere) do
                  test $"cached windows equal one pass: {name}, positions {where}" {
                      loreft 2
                      |> at (blockOutput [ 0; 1 ]) where
                      |> tied
                      |> ReftSpec.during phase
                      |> agree
                  }

              test $"cached windows equal one pass, whoever shares parameters: {name}" {
                  let spec = loreft 2 |> at (mlpOutput [ 1 ]) (first 2 + span 3 2)

                  for tying in [ Tying.Tied; Tying.Groups; Tying.EachPosition ] do
                      spec |> ReftSpec.withTying tying |> ReftSpec.during phase |> agree

                  loreft 2
                  |> at (blockOutput [ 0; 2 ]) (first 2)
                  |> ReftSpec.sharedAs "layers"
                  |> ReftSpec.during phase
                  |> agree
              }

          test "noise is the same in cached windows as in one pass" {
              for _, phase in phases do
                  Noise.create { Noise.options with Level = 1.0 }
                  |> at (blockOutput [ 0 ]) (span 1 4)
                  |> ReftSpec.during phase
                  |> agree
          }
          test "a source run is read in cached windows as in one pass" {
              scoped (fun () ->
                  use _ = torch.no_grad ()
                  let model = create torch.float32 1L
                  let site = Site.create 1 Component.BlockOutput
                  let batch = examples 8L continued [ 15; 9; 12; 7 ] |> Batch.create PaddingSide.Left
                  let context = Batch.context model batch

                  for where in [ all; every 2; Positions.Explicit [ 4; 0 ] ] do
                      for phase in [ Phase.Prompt; Phase.Decode; Phase.Always; Phase.DecodeSteps(1, 3) ] do
                          let sources =
                              model
                              |> Reft.collectDuring
                                  phase
                                  "source"
                                  [ site ]
                                  where
                                  context
                                  (Batch.ids model.Device batch)

                          interchange "source"
                          |> at [ site ] where
                          |> ReftSpec.during phase
                          |> agreeWith sources)
          }
          test "a function that meets another placement is refused with the row and the column" {
              scoped (fun () ->
                  let model = create torch.float32 1L
                  let batch = Batch.create PaddingSide.Left rows
                  let context = Batch.context model batch

                  let onlyIn row token =
                      PositionFunction.create "one" (fun seen ->
                          if seen.Ids[0] = rows[row].Ids[0] then [ token ] else [])

                  let spec =
                      (loreft 2 |> at (blockOutput [ 1 ]) (first 3))
                      @ (loreft 2 |> at (blockOutput [ 1 ]) (Positions.Function(onlyIn 2 1)))

                  // Which row it meets in is known when the batch is.
                  ReftSpec.validate config spec
                  let theta = Reft.init spec config (Rng.ofSeed 1L)

                  Golden.throwsWith<System.InvalidOperationException>
                      [ "layers.1.block_output"; "row 2, column 4"; "must not overlap" ]
                      (fun () -> Reft.attach spec theta context model |> ignore)

                  let apart =
                      spec |> List.mapi (fun i p -> if i = 0 then { p with Where = first 1 } else p)

                  model
                  |> Reft.attach apart (Reft.init apart config (Rng.ofSeed 1L)) context
                  |> ignore)
          }
          test "what meets in some prompts alone is not refused before a batch comes" {
              scoped (fun () ->
                  let accepts spec = ReftSpec.validate config spec

                  let refuses spec =
                      Golden.throwsWith<System.ArgumentException> [ "must not overlap" ] (fun () -> accepts spec)

                  let two phaseA whereA phaseB whereB =
                      (loreft 2 |> at (blockOutput [ 1 ]) whereA |> tied |> ReftSpec.during phaseA)
                      @ (loreft 2 |> at (blockOutput [ 1 ]) whereB |> tied |> ReftSpec.during phaseB)

                  accepts (two Phase.Prompt (every 3) Phase.Prompt (last 1))
                  accepts (two Phase.Prompt (every 3) Phase.Prompt (last 2))
                  refuses (two Phase.Prompt (every 3) Phase.Prompt (last 3))
                  accepts (two Phase.Prompt (Positions.Explicit [ 4095 ]) Phase.Prompt (last 1))
                  accepts (two Phase.Always (every 3) Phase.Decode (first 2))
                  refuses (two Phase.Always (every 3) Phase.Decode (first 3))
                  accepts (two Phase.Decode (first 3) (Phase.DecodeSteps(3, 2)) all)
                  refuses (two Phase.Decode (first 3) (Phase.DecodeSteps(2, 2)) all)
                  refuses (two Phase.Decode all (Phase.DecodeSteps(9000, 1)) all)
                  refuses (two Phase.Prompt (span 30 3) Phase.Always (Positions.Explicit [ 32 ]))
                  accepts (two Phase.Prompt all Phase.Decode all))
          }
          test "a function of positions without the rows' tokens is refused" {
              scoped (fun () ->
                  let model = create torch.float32 1L
                  let batch = Batch.create PaddingSide.Right rows

                  let spec = loreft 2 |> at (blockOutput [ 1 ]) (Positions.Function even)
                  let theta = Reft.init spec config (Rng.ofSeed 1L)
                  let context = model |> Transformer.context None 0 batch.Columns batch.Spans

                  Golden.throwsWith<System.InvalidOperationException> [ "'fn:even'"; "Batch.context" ] (fun () ->
                      Reft.attach spec theta context model |> ignore)

                  let short =
                      { context with
                          Tokens = batch.Examples |> Array.map (fun example -> Array.truncate 3 example.Ids) }

                  // A function of the prompt needs the prompt; one that reaches beyond it needs the rows.
                  Golden.throwsWith<System.InvalidOperationException>
                      [ "'fn:even'"; "all 15 tokens of row 0"; "has 3" ]
                      (fun () -> Reft.attach (spec |> ReftSpec.during Phase.Always) theta short model |> ignore))
          } ]
