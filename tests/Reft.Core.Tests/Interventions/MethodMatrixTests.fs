/// Every method of the registry goes through the same checks: a new one joins by adding a row.
module Reft.Core.Tests.Interventions.MethodMatrixTests

open System.IO
open System.Text
open System.Text.Json
open Expecto
open TorchSharp
open Reft.Core
open Reft.Core.Syntax
open Reft.Core.Tests
open Reft.Core.Tests.TinyModel

/// What kind of rows a method is checked on.
type private Kind =
    /// An edit of rows by themselves.
    | Plain
    /// It reads another run: the model's part of the matrix is in InterchangeTests.
    | ReadsSource
    /// A factor for an edit.
    | Factor

type private Row =
    {
        Kind: Kind
        Make: unit -> Intervention
        /// The method as it is written in its paper, row by row: context, θ, h → h′ (or the factor). None where
        /// InterchangeTests holds it against its formula.
        Formula: (Context -> Parameters -> Tensor -> Tensor) option
    }

let private width = 16 // TinyModel's hidden
let private draw seed (shape: int64 list) = Rng.normal shape (Rng.ofSeed seed)
let private vector () = draw 21L [ int64 width ]
let private mm (a: Tensor) (b: Tensor) = torch.mm (a, b)

let private rowsOf (h: Tensor) =
    [ for i in 0L .. h.shape[0] - 1L -> h[i] ]

/// h′ = f(h) for each row by itself.
let private eachRow (f: Tensor -> Tensor) (h: Tensor) =
    torch.stack (ResizeArray(rowsOf h |> List.map f), 0L)

let private r (theta: Parameters) = (Orthonormal.qr.Apply theta).t() // [r, d]

let private gateOf (logAlpha: Tensor) =
    (torch.sigmoid logAlpha * 1.2f - 0.1f).clamp(0.0.ToScalar(), 1.0.ToScalar())

let private source (context: Context) = context.Sources.Head.Values

let private low (h: Tensor) (theta: Parameters) =
    torch.mv (theta["weight"], h) + theta["bias"]

let private up (matrix: Tensor) (z: Tensor) = torch.mv (matrix.t (), z)

let private pca () : PcaBasis =
    { Components = (Orthonormal.random width 4 (Rng.ofSeed 4L)).t().contiguous()
      Mean = draw 5L [ int64 width ]
      Deviation = (draw 6L [ int64 width ]).abs() + 0.5f }

let private autoencoder threshold : AutoencoderWeights =
    { Encoder = draw 7L [ int64 width; 10L ]
      EncoderBias = draw 8L [ 10L ]
      Decoder = draw 9L [ 10L; int64 width ]
      DecoderBias = draw 10L [ int64 width ]
      Threshold = if threshold then Some((draw 11L [ 10L ]).abs()) else None }

let private strongest k (latents: float32 list) =
    latents |> List.sortDescending |> List.truncate k |> List.sum

let private matrix: Row list =
    let row kind make formula =
        { Kind = kind
          Make = make
          Formula = Some formula }

    let elsewhere kind make =
        { Kind = kind
          Make = make
          Formula = None }

    let each f = fun _ theta h -> eachRow (f theta) h

    [ row Plain (fun () -> loreft 3) (each (fun theta h -> h + up (r theta) (low h theta - torch.mv (r theta, h))))
      row
          Plain
          (fun () -> noreft 3)
          (each (fun theta h ->
              let w2 = theta["projection"]
              h + up w2 (low h theta - torch.mv (w2, h))))
      row
          Plain
          (fun () -> consreft 3)
          (each (fun theta h -> h + up (r theta) (theta["source"] - torch.mv (r theta, h))))
      row Plain (fun () -> lobireft 3) (each (fun theta h -> h + up (r theta) theta["source"]))
      row Plain (fun () -> direftOrthonormal 3) (each (fun theta h -> h + up (r theta) (low h theta)))
      row Plain (fun () -> direftPaper 3) (each (fun theta h -> h + up theta["projection"] (low h theta)))
      row
          Plain
          (fun () -> Bottleneck.create (Bottleneck.options 3))
          (each (fun theta h ->
              let inner = (low h theta).clamp_min(0.0.ToScalar())
              h + up theta["projection"] inner + theta["projection_bias"]))
      row Plain (fun () -> Red.create) (each (fun theta h -> theta["scale"] * h + theta["bias"]))
      row
          Plain
          (fun () ->
              ActivationAddition.create
                  { ActivationAddition.options with
                      Coefficient = 2.5 }
                  (vector ()))
          (each (fun _ h -> h + vector () * 2.5f))
      row Plain (fun () -> RepE.linear 0.5 (vector ())) (each (fun _ h -> h + vector () * 0.5f))
      row
          Plain
          (fun () -> RepE.piecewise 0.5 (vector ()))
          (each (fun _ h -> h + torch.sign (torch.dot (h, vector ())) * vector () * 0.5f))
      row
          Plain
          (fun () -> RepE.projection 1.0 (vector ()))
          (each (fun _ h ->
              let v = vector ()
              h - torch.dot (h, v) / torch.dot (v, v) * v))
      row Plain (fun () -> Lofit.scale) (each (fun theta h -> h + theta["scale"] * h))
      row Plain (fun () -> Lofit.offset) (each (fun theta h -> h + theta["offset"]))
      row
          Plain
          (fun () -> Jola.create (Jola.options 4))
          (each (fun theta h ->
              let perHead (name: string) =
                  (gateOf theta[name]).repeat_interleave(int64 (width / 4))

              (1.0f + perHead "scale_gate" * theta["scale"]) * h
              + perHead "offset_gate" * theta["offset"]))
      row Plain (fun () -> ReftR1.create 2) (fun context theta h ->
          let w = theta["direction"] / torch.norm theta["direction"]

          let latent (h: Tensor) =
              max 0.0f (torch.dot(h, w).item<float32>())

          let latents = rowsOf h |> List.map latent |> List.zip (List.ofArray context.Rows)

          rowsOf h
          |> List.zip (List.ofArray context.Rows)
          |> List.map (fun (example, h) ->
              let own = latents |> List.filter (fst >> (=) example) |> List.map snd
              h + w * (strongest 2 own / 2.0f))
          |> fun rows -> torch.stack (ResizeArray rows, 0L))
      row Plain (fun () -> PartitionedLoreft.create 4 [ [ 0; 2 ]; [ 1 ]; [ 3 ] ]) (fun context theta h ->
          let parts = [| [ 0; 2 ]; [ 1 ]; [ 3 ] |]

          rowsOf h
          |> List.zip (List.ofArray context.Rows)
          |> List.map (fun (example, h) ->
              let acting =
                  match context.Subspaces with
                  | [||] -> [ 0..3 ]
                  | chosen when chosen[example].IsEmpty -> [ 0..3 ]
                  | chosen -> chosen[example] |> List.collect (fun part -> parts[part])

              acting
              |> List.fold
                  (fun (total: Tensor) latent ->
                      let r = (r theta)[int64 latent]
                      let z = torch.dot (theta["weight"][int64 latent], h) + theta["bias"][int64 latent]
                      total + (z - torch.dot (r, h)) * r)
                  h)
          |> fun rows -> torch.stack (ResizeArray rows, 0L))
      row
          Plain
          (fun () -> RoutedLoreft.create Router.Softmax 2 3)
          (each (fun theta h ->
              let weights =
                  (torch.mv (theta["router_weight"], h) + theta["router_bias"]).softmax -1L

              let z = low h theta - torch.mv (r theta, h)

              [ 0L .. 5L ]
              |> List.fold (fun (total: Tensor) i -> total + weights[i / 2L] * z[i] * (r theta)[i]) h))
      row Factor (fun () -> Gates.scalar 0.7) (fun _ theta h -> theta["factor"].expand(h.shape[0], 1L))
      row Factor (fun () -> Gates.sigmoid) (fun _ theta h ->
          torch.sigmoid(torch.mv (h, theta["weight"]) + theta["bias"]).unsqueeze 1L)
      row Factor (fun () -> Gates.hardConcrete 0.3) (fun _ theta h ->
          (gateOf theta["log_alpha"]).expand(h.shape[0], 1L))
      row Plain (fun () -> ZeroOut.create ()) (fun _ _ h -> torch.zeros_like h)
      row ReadsSource (fun () -> Interchange.create "source") (fun context _ _ -> source context)
      row ReadsSource (fun () -> SourceAddition.add "source") (fun context _ h -> h + source context)
      row ReadsSource (fun () -> SourceAddition.subtract "source") (fun context _ h -> h - source context)
      elsewhere Plain (fun () -> Noise.create Noise.options)
      row ReadsSource (fun () -> RotatedInterchange.create (RotatedInterchange.options 3)) (fun context theta h ->
          h + mm (mm (source context - h) ((r theta).t())) (r theta))
      elsewhere ReadsSource (fun () -> BoundlessInterchange.create BoundlessInterchange.options)
      elsewhere ReadsSource (fun () -> SigmoidMask.create SigmoidMask.options)
      elsewhere ReadsSource (fun () -> PcaInterchange.create "source" 2 (pca ()))
      elsewhere ReadsSource (fun () -> AutoencoderInterchange.create "source" (Some [ 0; 4 ]) (autoencoder false))
      elsewhere ReadsSource (fun () -> AutoencoderInterchange.create "source" (Some [ 0; 4 ]) (autoencoder true)) ]

let private nameOf (what: Intervention) =
    match what.Form with
    | Form.Method(name, _) -> name
    | other -> failtest $"expected a method, found {other}"

/// Five rows of three examples, with their source and the subspaces of each.
let private context () =
    let rows = [| 0; 0; 0; 1; 2 |]
    let site = Site.create 1 Component.BlockOutput

    { Context.ofRows rows with
        Site = Some site
        Subspaces = [| [ 0 ]; []; [ 1; 2 ] |]
        Sources =
            [ { Name = "source"
                Site = site
                Rows = rows
                Tokens = [| 0; 1; 2; 0; 0 |]
                Values = draw 31L [ 5L; int64 width ] } ] }

let private hidden () = draw 30L [ 5L; int64 width ]

/// θ away from its start, where what is 0 or 1 there would hide mistakes.
let private moved (what: Intervention) =
    let theta = what.Init width (Rng.ofSeed 3L)

    theta.Vector + draw 32L [ theta.TrainableCount ] * 0.3f |> theta.OfVector

let private run (row: Row) (what: Intervention) context theta h =
    match row.Kind, what.Bind theta with
    | Factor, Edit.Delta f -> f context h
    | _, edit -> Intervention.apply context h edit

let private checkFormula row () =
    let what = row.Make()
    let theta = moved what
    let expected = row.Formula.Value (context ()) theta (hidden ())
    Expect.isLessThan (relative (run row what (context ()) theta (hidden ())) expected) 2e-6 (string what.Form)

let private checkGradient row () =
    let what = row.Make()
    let theta = moved what
    let wide (t: Tensor) = t.``to`` torch.float64

    let inContext =
        { context () with
            Sources =
                (context ()).Sources
                |> List.map (fun source ->
                    { source with
                        Values = wide source.Values }) }

    let bound = Parameters.map wide theta

    let value (theta: Parameters) (h: Tensor) =
        (run row what inContext theta h |> dsharp.square |> dsharp.sum)

    if theta.TrainableCount > 0L then
        let byTheta v =
            value (bound.OfVector v) (wide (hidden ()))

        let v = wide theta.Vector

        Expect.isLessThan
            (relative (dsharp.grad byTheta v) (dsharp.numgrad 1e-6 byTheta v))
            1e-4
            $"{what.Form}: by the parameters"

    let dependsOnRows =
        match row.Kind, nameOf what with
        | Factor, "sigmoid_gate" -> true
        | Factor, _ -> false
        | _, ("zero_out" | "interchange") -> false
        | _ -> true

    if dependsOnRows then
        let byRows h = value bound h
        let h = wide (hidden ())

        Expect.isLessThan
            (relative (dsharp.grad byRows h) (dsharp.numgrad 1e-6 byRows h))
            1e-4
            $"{what.Form}: by the rows"

/// The methods that begin at a fixed point, with nothing drawn.
let private undrawn =
    set
        [ "red"
          "activation_addition"
          "repe_linear"
          "repe_piecewise"
          "repe_projection"
          "lofit_offset"
          "jola"
          "scalar_gate"
          "hard_concrete_gate"
          "zero_out"
          "interchange"
          "add_source"
          "subtract_source"
          "noise"
          "sigmoid_mask"
          "pca_interchange"
          "autoencoder_interchange"
          "jumprelu_interchange" ]

let private checkInit row () =
    let what = row.Make()
    let init seed = what.Init width (Rng.ofSeed seed)
    let first, again, other = init 5L, init 5L, init 6L
    Expect.equal again.Names first.Names "names"

    for p, q in Seq.zip first.Entries again.Entries do
        Expect.isTrue (Golden.same p.Value q.Value) $"{p.Name} is reproducible"
        Expect.isTrue (p.Value.isfinite().all().item<bool>()) $"{p.Name} is finite"
        Expect.isTrue (p.Value.dtype = torch.float32) $"{p.Name} is fp32"

        // What decay would pull from its place: R, scales that begin at 1, offsets, directions of norm 1, constants.
        if p.Role = Role.Decayed then
            Expect.isTrue
                (p.Name.EndsWith "weight" || p.Name.EndsWith "projection")
                $"weight decay shrinks matrices alone, not {p.Name}"

    let differs =
        Seq.zip first.Entries other.Entries
        |> Seq.exists (fun (p, q) -> not (Golden.same p.Value q.Value))

    Expect.equal differs (not (undrawn.Contains(nameOf what))) "another seed draws other numbers"

let private throughJson (form: Form) =
    use stream = new MemoryStream()

    do
        use writer = new Utf8JsonWriter(stream)
        FormJson.write writer form

    let form = ref Form.Zero

    Golden.inTemporaryFolder (fun folder ->
        let path = Path.Combine(folder, "form.json")
        File.WriteAllText(path, Encoding.UTF8.GetString(stream.ToArray()))
        form.Value <- JsonValue.read 1_000_000 path |> FormJson.read)

    form.Value

let private checkForm row () =
    let what = row.Make()
    let again = throughJson what.Form |> Registry.intervention Registry.standard
    Expect.equal again.Form what.Form "form"
    let theta = moved what
    Expect.equal (again.Init width (Rng.ofSeed 1L)).Names theta.Names "names"

    let output (what: Intervention) =
        run row what (context ()) theta (hidden ())

    Expect.isTrue (Golden.same (output what) (output again)) "the same rows from the same numbers"

/// A spec that trains on a model: a factor gates a LoReFT.
let private specOf row =
    let what =
        match row.Kind with
        | Factor -> gate (row.Make()) (loreft 2)
        | _ -> row.Make()

    what |> at (blockOutput [ 1 ]) (first 2 + last 1) |> tied

let private batchOf model =
    examples 1L 3 [ 9; 7; 8 ] |> Batch.create PaddingSide.Right, model

let private checkTraining row () =
    let model = create torch.float32 1L
    let spec = specOf row
    let theta = Reft.init spec config (Rng.ofSeed 2L)
    let batch, model = batchOf model
    let loss = Loss.reft spec model
    let before = Trainer.evaluate loss theta [ batch ]

    let final =
        Seq.replicate 30 batch
        |> Trainer.fit (Trainer.options 2e-2) loss (TrainState.create (Rng.ofSeed 0L) theta)

    let after = Trainer.evaluate loss final.Parameters [ batch ]
    TrainState.dispose final
    Expect.isLessThan after (before - 1e-3) "the loss after 30 steps"

let private checkAdapter row () =
    Golden.inTemporaryFolder (fun folder ->
        let spec = specOf row
        let theta = Reft.init spec config (Rng.ofSeed 9L)
        let theta = theta.Vector + draw 33L [ theta.TrainableCount ] |> theta.OfVector
        Adapter.save folder config "sha256:base" spec theta
        use loaded = Adapter.load Registry.standard (Some "sha256:base") config folder
        let model = create torch.float32 1L
        let batch, model = batchOf model

        if row.Kind <> ReadsSource then
            let score spec theta =
                Trainer.evaluate (Loss.reft spec model) theta [ batch ]

            Expect.equal (score loaded.Spec loaded.Parameters) (score spec theta) "the same loss, bit for bit"

        Expect.equal loaded.Parameters.Names theta.Names "names")

let private checkBf16 row () =
    let model = create torch.bfloat16 1L
    let spec = specOf row
    let theta = Reft.init spec config (Rng.ofSeed 2L)
    let batch, model = batchOf model
    let ids = Batch.ids torch.CPU batch

    let outputs (model: Transformer) =
        // The tap of the site alone: what the edit writes, and what it leaves.
        let context = Batch.context model batch
        use _ = torch.no_grad ()
        let h = (draw 34L [ 3L; 9L; int64 width ]).``to`` torch.bfloat16
        h, (model |> Reft.attach spec theta context).Taps[1] Component.BlockOutput h

    let h, edited = outputs model
    Expect.isTrue (edited.dtype = torch.bfloat16) "dtype"
    // Rows 0 … 2 have prompts of 6, 4 and 5: tokens 2 and 3 of row 0 and everything after the prompt are not edited.
    for row, token in [ 0L, 2L; 0L, 4L; 0L, 7L; 1L, 5L; 2L, 3L; 2L, 6L ] do
        Expect.isTrue (Golden.same h[row, token] edited[row, token]) $"row {row}, token {token} is untouched"

    ignore ids

    if theta.TrainableCount > 0L then
        let struct (report, next) =
            Trainer.step
                (Trainer.options 1e-3)
                (Loss.reft spec model)
                [| batch |]
                (TrainState.create (Rng.ofSeed 0L) theta)

        Expect.isTrue (System.Double.IsFinite report.Loss && report.GradientNorm >= 0.0) "a step in bf16"
        TrainState.dispose next

[<Tests>]
let tests =
    Native.load ()

    let names =
        use _ = torch.NewDisposeScope()
        matrix |> List.map (fun row -> nameOf (row.Make()))

    let column name (check: Row -> unit -> unit) (applies: Row -> bool) =
        testList
            name
            [ for row, method in List.zip matrix names do
                  if applies row then
                      testCase method (fun () -> scoped (check row)) ]

    let trains row =
        use _ = torch.NewDisposeScope()

        row.Kind <> ReadsSource
        && ((row.Make()).Init width (Rng.ofSeed 0L)).TrainableCount > 0L

    testList
        "Method matrix"
        [ test "every method of the registry has a row" {
              Expect.equal (List.sort (List.distinct names)) (Registry.methods Registry.standard |> List.sort) "rows"
          }
          column "formula" checkFormula (fun row -> row.Formula.IsSome)
          column "gradient" checkGradient (fun _ -> true)
          column "init" checkInit (fun _ -> true)
          column "form" checkForm (fun _ -> true)
          column "adapter" checkAdapter (fun _ -> true)
          column "training" checkTraining trains
          column "bf16" checkBf16 (fun row -> row.Kind <> ReadsSource)
          test "a factor by itself is refused as an edit, with both shapes" {
              scoped (fun () ->
                  let what = Gates.sigmoid

                  Expect.throwsC
                      (fun () -> Intervention.apply (context ()) (hidden ()) (what.Bind(moved what)) |> ignore)
                      (fun e ->
                          Expect.stringContains e.Message "[5 × 16]" "expected"
                          Expect.stringContains e.Message "[5 × 1]" "found"))
          }
          test "a factor among the parts of a sum or a chain is refused too" {
              scoped (fun () ->
                  let refuses what text =
                      Expect.throwsC
                          (fun () -> Intervention.apply (context ()) (hidden ()) (what.Bind(moved what)) |> ignore)
                          (fun e -> Expect.stringContains e.Message text "message")

                  refuses (loreft 2 + Gates.scalar 1.0) "expected [5 × 16] as in part 0, found [5 × 1] in part 1"
                  refuses (Gates.scalar 1.0 + loreft 2) "expected [5 × 1] as in part 0, found [5 × 16] in part 1"
                  refuses (loreft 2 >=> Gates.scalar 1.0) "expected [5 × 16], found [5 × 1]"
                  refuses (gate (loreft 2) Gates.sigmoid) "expected [5 × 1] or [5 × 1], found [5 × 16]"

                  // A sum of factors and a factor of a factor are factors.
                  let what =
                      gate (Gates.scalar 0.5 + gate (Gates.scalar 2.0) (Gates.scalar 0.25)) (loreft 2)

                  let theta = what.Init width (Rng.ofSeed 1L)

                  let bare =
                      Intervention.apply (context ()) (hidden ()) ((loreft 2).Bind(theta.Sub "edit"))

                  let found = Intervention.apply (context ()) (hidden ()) (what.Bind theta)
                  Expect.isLessThan (relative found bare) 1e-6 "0.5 + 2 × 0.25 = 1")
          }
          test "methods that act by example refuse rows whose example is not known" {
              scoped (fun () ->
                  for what in [ ReftR1.create 1; PartitionedLoreft.equal 2 2 ] do
                      let unknown = { context () with Rows = [| 0; 1 |] }

                      Expect.throwsC
                          (fun () -> Intervention.apply unknown (hidden ()) (what.Bind(moved what)) |> ignore)
                          (fun e ->
                              Expect.stringContains e.Message "each of 5 rows" "expected"
                              Expect.stringContains e.Message "found 2" "found")

                  let few =
                      { context () with
                          Subspaces = [| [ 0 ]; [ 1 ] |] }

                  let what = PartitionedLoreft.equal 2 2

                  Expect.throwsC
                      (fun () -> Intervention.apply few (hidden ()) (what.Bind(moved what)) |> ignore)
                      (fun e -> Expect.stringContains e.Message "found 2 lists and row 2" "found"))
          }
          test "a scalar gate that starts at 0 starts anything at identity, and learns" {
              scoped (fun () ->
                  let what = gate (Gates.scalar 0.0) (consreft 2)
                  let theta = what.Init width (Rng.ofSeed 1L)

                  Expect.isTrue
                      (Golden.same (hidden ()) (Intervention.apply (context ()) (hidden ()) (what.Bind theta)))
                      "Δ = 0"

                  let slope =
                      dsharp.grad
                          (fun v ->
                              Intervention.apply (context ()) (hidden ()) (what.Bind(theta.OfVector v))
                              |> dsharp.square
                              |> dsharp.sum)
                          theta.Vector

                  Expect.isGreaterThan (slope.norm().item<float32>()) 0.0f "a gradient")
          }
          test "options and values that mean nothing are refused with what was expected" {
              scoped (fun () ->
                  let refuses (text: string) (body: unit -> Intervention) =
                      Expect.throwsC (fun () -> (body ()).Init width (Rng.ofSeed 0L) |> ignore) (fun e ->
                          Expect.stringContains e.Message text "message")

                  let ofMethod name options =
                      Registry.intervention Registry.standard (Form.Method(name, options))

                  refuses "1 or more, found 0" (fun () -> ReftR1.create 0)

                  refuses "no partition of 4 latent rows" (fun () ->
                      PartitionedLoreft.create 4 [ [ 0; 1 ]; [ 1; 2; 3 ] ])

                  refuses "divides the rank 4, found 3" (fun () -> PartitionedLoreft.equal 4 3)

                  refuses "'0-9' is no partition" (fun () ->
                      ofMethod "partitioned_loreft" [ "rank", FormOption.Int 4; "partition", FormOption.Text "0-9" ])

                  refuses "found 9 × 2 = 18" (fun () -> RoutedLoreft.create Router.Sigmoid 9 2)

                  refuses "expected sigmoid or softmax" (fun () ->
                      ofMethod
                          "routed_loreft"
                          [ "rank", FormOption.Int 2
                            "experts", FormOption.Int 2
                            "router", FormOption.Text "hard" ])

                  refuses "has no option 'rank'" (fun () -> ofMethod "red" [ "rank", FormOption.Int 2 ])
                  refuses "finite" (fun () -> RepE.linear nan (vector ()))
                  refuses "finite" (fun () -> ActivationAddition.create ActivationAddition.options (vector () / 0.0f))
                  refuses "heads of equal width" (fun () -> Jola.create (Jola.options 5)))
          }
          test "a subspace that is not there is refused with the row" {
              scoped (fun () ->
                  let what = PartitionedLoreft.equal 4 2

                  let bad =
                      { context () with
                          Subspaces = [| [ 0 ]; [ 2 ]; [] |] }

                  Expect.throwsC
                      (fun () -> Intervention.apply bad (hidden ()) (what.Bind(moved what)) |> ignore)
                      (fun e ->
                          Expect.stringContains
                              e.Message
                              "row 1 of the batch names the subspace 2: expected 0 … 1"
                              "message"))
          }
          test "ReFT-r1's penalty is the sum of the latents outside the top k" {
              scoped (fun () ->
                  let latents = torch.tensor [| 3.0f; 1.0f; 2.0f; 5.0f; 0.5f |]
                  let penalty = ReftR1.offTop 1 [| 0; 0; 0; 1; 1 |] latents

                  Expect.floatClose
                      Accuracy.high
                      (float (penalty.item<float32>()))
                      ((3.0 + 0.5) / 2.0)
                      "mean of 3 and 0.5"

                  // Rows of the batch that are not edited are no examples of it.
                  let sparse = ReftR1.offTop 1 [| 7; 7; 7; 2; 2 |] latents
                  Expect.equal (sparse.item<float32>()) (penalty.item<float32>()) "whatever the rows' numbers")
          } ]
