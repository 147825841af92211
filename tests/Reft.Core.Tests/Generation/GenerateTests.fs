module Reft.Core.Tests.Generation.GenerateTests

open Expecto
open TorchSharp
open Reft.Core
open Reft.Core.Syntax
open Reft.Core.Tests
open Reft.Core.Tests.TinyModel

let private prompts = examples 2L 0 [ 9; 3; 6; 1 ] |> List.map (fun e -> e.Ids)

let private even =
    PositionFunction.create "even" (fun row ->
        [ for token in 0 .. row.Ids.Length - 1 do
              if row.Ids[token] % 2 = 0 then
                  token ])

let private phases =
    [ "no edit", []
      "prompt", loreft 2 |> at (blockOutput [ 0; 1 ]) (first 2 + last 2)
      "decode", loreft 2 |> at (blockOutput [ 0; 1 ]) (first 3) |> ReftSpec.during Phase.Decode
      "decode, all", loreft 2 |> at (query [ 1 ]) all |> ReftSpec.during Phase.Decode
      "always",
      loreft 2
      |> at (mlpOutput [ 0 ] @ key [ 2 ]) (every 2)
      |> ReftSpec.during Phase.Always
      "a window of steps",
      loreft 2
      |> at (blockOutput [ 0 ]) all
      |> ReftSpec.during (Phase.DecodeSteps(1, 3))
      "a function of the row",
      loreft 2
      |> at (blockOutput [ 1 ]) (Positions.Function even)
      |> ReftSpec.during Phase.Always
      "noise",
      Noise.create { Noise.options with Level = 2.0 }
      |> at (blockOutput [ 0 ]) all
      |> ReftSpec.during Phase.Always ]

let private generate padding count bound model =
    let options =
        { MaxNewTokens = count
          StopIds = []
          Padding = padding }

    Generate.complete options bound model prompts

/// What one uncached forward of prompt and continuation says each next token is.
let private uncached (spec: ReftSpec) theta (model: Transformer) (prompt: int[]) (generated: int[]) =
    use _ = torch.no_grad ()
    let ids = Array.append prompt generated

    let example =
        { Example.ofText ids with
            Prompt = prompt.Length }

    let batch = Batch.create PaddingSide.Right [ example ]
    let context = Batch.context model batch

    let logits =
        model
        |> Reft.attach spec theta context
        |> Transformer.logits context (Batch.ids torch.CPU batch)

    logits[0L].argmax(-1L).data<int64>().ToArray()[prompt.Length - 1 .. ids.Length - 2]
    |> Array.map int

[<Tests>]
let tests =
    testList
        "Generation"
        [ for name, spec in phases do
              for padding in [ PaddingSide.Left; PaddingSide.Right ] do
                  test $"cached steps equal one uncached forward: {name}, {padding}" {
                      scoped (fun () ->
                          let model = create torch.float32 1L
                          let theta = Reft.init spec config (Rng.ofSeed 5L)
                          use bound = Reft.bind spec theta
                          let rows = generate padding 8 [ bound ] model

                          for prompt, row in Seq.zip prompts rows do
                              Expect.equal row (uncached spec theta model prompt row) $"prompt of {prompt.Length}")
                  }

          test "a batch of unequal prompts generates what each prompt generates alone" {
              scoped (fun () ->
                  let model = create torch.float32 1L
                  let together = generate PaddingSide.Left 8 [] model

                  for prompt, row in Seq.zip prompts together do
                      let options =
                          { MaxNewTokens = 8
                            StopIds = []
                            Padding = PaddingSide.Left }

                      Expect.equal (Generate.complete options [] model [ prompt ]) [| row |] "alone")
          }
          test "a stop id ends its row, is among its tokens, and leaves the other rows alone" {
              scoped (fun () ->
                  let model = create torch.float32 1L
                  let free = generate PaddingSide.Left 8 [] model
                  let stop = free[0][2]

                  let stopped =
                      Generate.complete
                          { MaxNewTokens = 8
                            StopIds = [ stop ]
                            Padding = PaddingSide.Left }
                          []
                          model
                          prompts

                  for row in 0..3 do
                      let expected =
                          match Array.tryFindIndex ((=) stop) free[row] with
                          | Some i -> free[row][..i]
                          | None -> free[row]

                      Expect.equal stopped[row] expected $"row {row}")
          }
          test "tokens come one by one, and stopping early frees the cache" {
              scoped (fun () ->
                  let model = create torch.float32 1L
                  let before = Golden.liveTensors ()

                  let options =
                      { MaxNewTokens = 20
                        StopIds = []
                        Padding = PaddingSide.Left }

                  let some = Generate.greedy options [] model prompts |> Seq.truncate 6 |> Seq.toList
                  Expect.equal (some |> List.map (fun t -> t.Row)) [ 0; 1; 2; 3; 0; 1 ] "step by step"
                  Expect.equal Tensor.TotalCount before "live tensors")
          }
          test "empty prompts and prompts beyond the context are refused" {
              scoped (fun () ->
                  let model = create torch.float32 1L
                  let options = Generate.options 4 model

                  let refuses text prompts =
                      Expect.throwsC (fun () -> Generate.complete options [] model prompts |> ignore) (fun e ->
                          Expect.stringContains e.Message text "message")

                  refuses "found none" []
                  refuses "prompt 1 is empty" [ [| 1 |]; [||] ]
                  refuses "context of 64" [ Array.create 61 1 ])
          }
          test "each row generates under its own subspaces, as under those latent rows alone" {
              scoped (fun () ->
                  let model = create torch.float32 1L

                  let where (what: Intervention) =
                      20.0 * what |> at (blockOutput [ 1 ]) all

                  let parted = where (PartitionedLoreft.create 4 [ [ 0; 1 ]; [ 2; 3 ] ])
                  let theta = Reft.init parted config (Rng.ofSeed 2L)
                  let prompts = examples 3L 0 [ 6; 4; 5 ] |> List.map (fun example -> example.Ids)

                  let options =
                      { Generate.options 8 model with
                          StopIds = [] }

                  let said spec examples =
                      use bound = Reft.bind spec theta
                      Generate.completeRows options [ bound ] model examples

                  let rows =
                      List.zip prompts [ [ 0 ]; [ 1 ]; [] ]
                      |> List.map (fun (ids, parts) ->
                          { Example.ofText ids with
                              Subspaces = parts })

                  let alone latent ids =
                      (said (where (loreft 4 |> Intervention.onSubspace latent)) [ Example.ofText ids ])[0]

                  let expected =
                      List.map2 alone [ [ 0; 1 ]; [ 2; 3 ]; [ 0..3 ] ] prompts |> List.toArray

                  Expect.equal (said parted rows) expected "row by row"
                  Expect.notEqual (alone [ 0; 1 ] prompts[0]) (alone [ 2; 3 ] prompts[0]) "the parts differ")
          }
          test "scores are the log-probabilities of an uncached forward" {
              scoped (fun () ->
                  let model = create torch.float32 1L
                  let spec = loreft 2 |> at (blockOutput [ 1 ]) (first 1 + last 1)
                  let theta = Reft.init spec config (Rng.ofSeed 5L)
                  use bound = Reft.bind spec theta
                  let rows = examples 4L 3 [ 9; 5 ]

                  for padding in [ PaddingSide.Left; PaddingSide.Right ] do
                      let scores = rows |> Batch.create padding |> Score.logprobs [ bound ] model

                      for example, found in Seq.zip rows scores do
                          let batch = Batch.create PaddingSide.Right [ example ]
                          let context = model |> Transformer.context None 0 batch.Columns batch.Spans

                          let logits =
                              model
                              |> Reft.attach spec theta context
                              |> Transformer.logits context (Batch.ids torch.CPU batch)

                          let logp = logits.log_softmax -1L

                          let expected =
                              [| for i in 0 .. example.Ids.Length - 2 ->
                                     logp[0L, int64 i, int64 example.Ids[i + 1]].item<float32>() |]

                          Expect.isLessThan (relative (torch.tensor found) (torch.tensor expected)) 1e-5 "logprobs")
          } ]
