/// Rows, sources and one of each interchange, for their tests.
module Reft.Core.Tests.Interventions.InterchangeFixture

open Expecto
open TorchSharp
open Reft.Core
open Reft.Core.Syntax
open Reft.Core.Tests
open Reft.Core.Tests.TinyModel

let width = 6
let draw seed (shape: int64 list) = Rng.normal shape (Rng.ofSeed seed)
let mm (a: Tensor) (b: Tensor) = torch.mm (a, b)

let site = Site.create 1 Component.BlockOutput

let source name (rows: int[]) (values: Tensor) : Activations =
    { Name = name
      Site = site
      Rows = rows
      Tokens = Array.init rows.Length id
      Values = values }

/// Four rows of three batch rows, and a source that has them in the same order.
let rows = [| 0; 0; 1; 2 |]

let h () = draw 1L [ 4L; int64 width ]
let s () = draw 2L [ 4L; int64 width ]

let context (values: Tensor) =
    { Context.ofRows rows with
        Site = Some site
        Sources = [ source "source" rows values ] }

let edited (what: Intervention) theta h s =
    Intervention.apply (context s) h (what.Bind theta)

let fresh (what: Intervention) = what.Init width (Rng.ofSeed 3L)

let expectFormula (what: Intervention) (formula: Parameters -> Tensor -> Tensor -> Tensor) =
    scoped (fun () ->
        let theta = fresh what
        let h, s = h (), s ()
        let found = edited what theta h s
        Expect.isLessThan (relative found (formula theta h s)) 1e-6 (string what.Form))

let pca (components: int) : PcaBasis =
    { Components = (Orthonormal.random width components (Rng.ofSeed 4L)).t().contiguous()
      Mean = draw 5L [ int64 width ]
      Deviation = (draw 6L [ int64 width ]).abs() + 0.5f }

let weights threshold : AutoencoderWeights =
    { Encoder = draw 7L [ int64 width; 10L ]
      EncoderBias = draw 8L [ 10L ]
      Decoder = draw 9L [ 10L; int64 width ]
      DecoderBias = draw 10L [ int64 width ]
      Threshold = if threshold then Some((draw 11L [ 10L ]).abs()) else None }

let boundless =
    { BoundlessInterchange.options with
        Temperature = 0.7 }

/// One of each, made in a scope that is open.
let everyOne () =
    [ ZeroOut.create ()
      Interchange.create "source"
      Interchange.create "other"
      SourceAddition.add "source"
      SourceAddition.subtract "source"
      Noise.create Noise.options
      Noise.create { Seed = 7; Level = 0.5 }
      RotatedInterchange.create (RotatedInterchange.options 3)
      RotatedInterchange.create
          { RotatedInterchange.options 2 with
              Source = "other"
              Orthonormal = Orthonormal.householder }
      BoundlessInterchange.create BoundlessInterchange.options
      BoundlessInterchange.create { boundless with Rank = Some 4 }
      SigmoidMask.create SigmoidMask.options
      SigmoidMask.create SigmoidMask.rotatedOptions
      SigmoidMask.create
          { SigmoidMask.rotatedOptions with
              Temperature = 2.0 }
      PcaInterchange.create "source" 2 (pca 6)
      PcaInterchange.create "other" 3 (pca 3)
      AutoencoderInterchange.create "source" None (weights false)
      AutoencoderInterchange.create "other" (Some [ 0; 4 ]) (weights true) ]

let refuses fragments (body: unit -> unit) =
    Golden.throwsWith<System.InvalidOperationException> fragments body

let refusesArgument fragments (body: unit -> unit) =
    Golden.throwsWith<System.ArgumentException> fragments body
