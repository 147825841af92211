module Reft.Core.Tests.Interventions.SourcesTests

open Expecto
open TorchSharp
open Reft.Core
open Reft.Core.Syntax
open Reft.Core.Tests
open Reft.Core.Tests.TinyModel
open Reft.Core.Tests.Interventions.InterchangeFixture

[<Tests>]
let tests =
    testList
        "Sources"
        [ test "rows stand for rows by their number in the batch row, whatever their order" {
              scoped (fun () ->
                  let values = draw 1L [ 4L; 6L ]
                  let shuffled = source "source" [| 2; 0; 1; 0 |] values

                  let found =
                      Sources.rows
                          "source"
                          { context values with
                              Sources = [ shuffled ] }
                          (h ())

                  Expect.isTrue (Golden.same (values[torch.tensor [| 1L; 3L; 2L; 0L |]]) found) "0, 0, 1, 2")
          }
          test "of several sources the one of the name and the site is read" {
              scoped (fun () ->
                  let mine, other = s (), h ()

                  let elsewhere =
                      { source "source" rows other with
                          Site = Site.create 0 Component.BlockOutput }

                  let context =
                      { context mine with
                          Sources = [ elsewhere; source "other" rows other; source "source" rows mine ] }

                  Expect.isTrue (Golden.same mine (Sources.rows "source" context (h ()))) "source"
                  Expect.isTrue (Golden.same other (Sources.rows "other" context (h ()))) "other")
          }
          test "what does not fit is refused with the source, the site, what was expected and what to do" {
              scoped (fun () ->
                  let read sources () =
                      Sources.rows
                          "source"
                          { context (s ()) with
                              Sources = sources }
                          (h ())
                      |> ignore

                  let place = "layers.1.block_output"
                  refuses [ place; "'source'"; "there are no sources"; "Reft.collect" ] (read [])

                  refuses
                      [ place; "'source'"; "there are 'other' at layers.1.block_output" ]
                      (read [ source "other" rows (s ()) ])

                  refuses
                      [ place; "'source'"; "'source' at layers.0.block_output" ]
                      (read
                          [ { source "source" rows (s ()) with
                                Site = Site.create 0 Component.BlockOutput } ])

                  refuses [ place; "2 sources" ] (read [ source "source" rows (s ()); source "source" rows (s ()) ])

                  refuses
                      [ place; "expected rows of width 6, found [4 × 5]" ]
                      (read [ source "source" rows (draw 1L [ 4L; 5L ]) ])

                  refuses
                      [ place; "edits 2 rows of batch row 0, and the source has 1"; "tie it" ]
                      (read [ source "source" [| 0; 1; 2 |] (draw 1L [ 3L; 6L ]) ])

                  refuses
                      [ place; "edits 1 rows of batch row 2, and the source has 0" ]
                      (read [ source "source" [| 0; 0; 1 |] (draw 1L [ 3L; 6L ]) ])

                  refuses
                      [ place; "edits 1 rows of batch row 1, and the source has 2" ]
                      (read [ source "source" [| 0; 0; 1; 1; 2 |] (draw 1L [ 5L; 6L ]) ])

                  refuses [ "found 0"; "Context.Rows" ] (fun () ->
                      Sources.rows "source" { context (s ()) with Rows = [||] } (h ()) |> ignore))
          }
          test "untied parts are told to be tied, and then agree" {
              scoped (fun () ->
                  use _ = torch.no_grad ()
                  let model = create torch.float32 1L
                  let batch = examples 2L 3 [ 9; 7 ] |> Batch.create PaddingSide.Left
                  let ids = Batch.ids torch.CPU batch
                  let context = Batch.context model batch
                  let where = first 1 + last 2
                  let sources = model |> Reft.collect "source" [ site ] where context ids
                  let spec = interchange "source" |> at [ site ] where

                  let run spec =
                      let context = context |> Context.withSources sources

                      model
                      |> Reft.attach spec Parameters.empty context
                      |> Transformer.residual context ids

                  refuses [ "edits 1 rows of batch row 0, and the source has 3"; "ReftSpec.tied" ] (fun () ->
                      run spec |> ignore)

                  Expect.isTrue
                      (Golden.same (model |> Transformer.residual context ids) (run (tied spec)))
                      "a run's own activations change nothing")
          } ]
