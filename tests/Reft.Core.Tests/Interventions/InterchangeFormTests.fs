module Reft.Core.Tests.Interventions.InterchangeFormTests

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
        "Interchange forms"
        [ test "each saves and loads through an adapter, bit for bit, constants included" {
              Golden.inTemporaryFolder (fun folder ->
                  let narrow = { config with Hidden = width }

                  everyOne ()
                  |> List.iteri (fun i what ->
                      let folder = System.IO.Path.Combine(folder, string i)
                      let spec = what |> at (blockOutput [ 1 ]) (last 1)
                      let theta = Reft.init spec narrow (Rng.ofSeed 9L)
                      Adapter.save folder narrow "sha256:base" spec theta
                      use loaded = Adapter.load Registry.standard (Some "sha256:base") narrow folder
                      Expect.equal loaded.Spec.Head.What.Form what.Form "form"
                      Expect.equal loaded.Parameters.Names theta.Names $"{what.Form}: names"

                      for p, q in Seq.zip theta.Entries loaded.Parameters.Entries do
                          Expect.equal q.Role p.Role $"{what.Form}: role of {p.Name}"
                          Expect.isTrue (Golden.same p.Value q.Value) $"{what.Form}: {p.Name}"

                      let own (parameters: Parameters) = parameters.Sub "layers.1.block_output"

                      let both =
                          { context (s ()) with
                              Sources = [ source "source" rows (s ()); source "other" rows (s ()) ] }

                      let run (what: Intervention) parameters =
                          Intervention.apply both (h ()) (what.Bind(own parameters))

                      Expect.isTrue
                          (Golden.same (run what theta) (run loaded.Spec.Head.What loaded.Parameters))
                          $"{what.Form}: the same edit"))
          }
          test "only options that are not the default are written" {
              scoped (fun () ->
                  Expect.equal
                      (everyOne () |> List.map (fun what -> string what.Form))
                      [ "zero_out"
                        "interchange"
                        "interchange(source=other)"
                        "add_source"
                        "subtract_source"
                        "noise"
                        "noise(seed=7, level=0.5)"
                        "rotated_interchange(rank=3)"
                        "rotated_interchange(rank=2, source=other, orthonormal=householder)"
                        "boundless_interchange"
                        "boundless_interchange(rank=4, temperature=0.7)"
                        "sigmoid_mask"
                        "sigmoid_mask(rotated=true)"
                        "sigmoid_mask(rotated=true, temperature=2)"
                        "pca_interchange(components=6, count=2)"
                        "pca_interchange(components=3, source=other)"
                        "autoencoder_interchange(size=10)"
                        "jumprelu_interchange(size=10, latents=0,4, source=other)" ]
                      "forms")
          }
          test "options and values that mean nothing are refused" {
              scoped (fun () ->
                  let form name options =
                      Registry.intervention Registry.standard (Form.Method(name, options)) |> ignore

                  for name in
                      [ "zero_out"
                        "interchange"
                        "add_source"
                        "subtract_source"
                        "noise"
                        "sigmoid_mask" ] do
                      refusesArgument [ name; "no option 'colour'" ] (fun () ->
                          form name [ "colour", FormOption.Int 1 ])

                  refusesArgument [ "needs the option 'rank'" ] (fun () -> form "rotated_interchange" [])
                  refusesArgument [ "needs the option 'size'" ] (fun () -> form "autoencoder_interchange" [])
                  refusesArgument [ "rank of 1 or more" ] (fun () -> das 0 |> ignore)
                  refusesArgument [ "rank of 1 … 6, found 7" ] (fun () -> fresh (das 7) |> ignore)
                  refusesArgument [ "needs the name" ] (fun () -> interchange " " |> ignore)

                  for level in [ -1.0; nan; infinity ] do
                      refusesArgument [ "noise level" ] (fun () ->
                          Noise.create { Noise.options with Level = level } |> ignore)

                  for temperature in [ 0.0; -1.0; nan; infinity ] do
                      refusesArgument [ "temperature above 0" ] (fun () ->
                          BoundlessInterchange.atTemperature temperature boundless |> ignore)

                      refusesArgument [ "temperature above 0" ] (fun () ->
                          SigmoidMask.atTemperature temperature SigmoidMask.options |> ignore)

                  refusesArgument [ "1 … 3 principal coordinates"; "found 4" ] (fun () ->
                      PcaInterchange.create "source" 4 (pca 3) |> ignore)

                  refusesArgument [ "mean of pca_interchange"; "[6]"; "[5]" ] (fun () ->
                      PcaInterchange.create "source" 1 { pca 3 with Mean = torch.zeros 5L } |> ignore)

                  refusesArgument [ "above 0" ] (fun () ->
                      PcaInterchange.create
                          "source"
                          1
                          { pca 3 with
                              Deviation = torch.zeros 6L }
                      |> ignore)

                  refusesArgument [ "width 6"; "found 16" ] (fun () ->
                      (PcaInterchange.create "source" 1 (pca 3)).Init 16 (Rng.ofSeed 0L) |> ignore)

                  let autoencoder latents weights () =
                      AutoencoderInterchange.create "source" latents weights |> ignore

                  let w = weights false

                  refusesArgument
                      [ "decoder of"; "[10, 6]"; "[6, 10]" ]
                      (autoencoder None { w with Decoder = w.Encoder })

                  refusesArgument
                      [ "encoder_bias"; "finite" ]
                      (autoencoder
                          None
                          { w with
                              EncoderBias = torch.full (10L, nanf.ToScalar()) })

                  for latents in [ []; [ 10 ]; [ -1 ]; [ 2; 2 ] ] do
                      refusesArgument [ "latents of 0 … 9" ] (autoencoder (Some latents) w)

                  refusesArgument [ "0,7,12"; "found 'x'" ] (fun () ->
                      form "jumprelu_interchange" [ "size", FormOption.Int 10; "latents", FormOption.Text "1,x" ]))
          }
          test "the values that an intervention is made with are copied" {
              scoped (fun () ->
                  let basis = pca 3
                  let what = PcaInterchange.create "source" 1 basis
                  let before = fresh what
                  basis.Mean.zero_ () |> ignore

                  Expect.isTrue
                      (Golden.same (before["mean"]) ((fresh what).["mean"]))
                      "a later change does not reach it")
          } ]
