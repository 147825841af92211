module Reft.Core.Tests.Training.ClassifierTests

open System.IO
open Expecto
open TorchSharp
open Reft.Core
open Reft.Core.Syntax
open Reft.Core.Tests

let private three =
    SequenceTask.create SequenceProblem.SingleLabel [ "red"; "green"; "blue" ]

let private spec = loreft 2 |> at (blockOutput [ 0; 2 ]) (first 1 + last 1)

let private llama () = TinyModel.create torch.float32 7L

let private fresh training task =
    Classifier.create training task TinyModel.config.Hidden SequenceHead.score (fun _ -> None) (Rng.ofSeed 3L)

/// Rows of random ids whose label is said by one token somewhere in them.
let private toy count =
    [| for row in 0 .. count - 1 ->
           let length = 4 + row % 5
           let ids = Rng.permutation 30 (Rng.fork row (Rng.ofSeed 5L)) |> Array.truncate length
           let label = row % 3
           ids[row % length] <- 31 + label
           Example.ofRow [||] (Some(RowTarget.Label label)) ids |]

let private batch side rows =
    rows |> List.ofArray |> Batch.create side

let private withTarget target (rows: Example[]) =
    rows |> Array.mapi (fun i row -> { row with Target = Some(target i) })

let private together (classifier: Classifier) =
    Parameters.concat [ Reft.init spec TinyModel.config (Rng.ofSeed 1L); classifier.Parameters ]

/// Interventions and head learn a task that the model knows nothing of.
let private learns () =
    let model = llama ()
    let classifier = fresh HeadTraining.Classifier three
    let start = together classifier
    let rows = toy 60

    let options =
        { Fit.defaults with
            Epochs = 30
            BatchSize = 20
            LearningRate = 2e-2
            Warmup = Warmup.Steps 0 }

    let spec = loreft 4 |> at (blockOutput [ 0; 1; 2 ]) all |> tied

    let theta =
        Parameters.concat [ Reft.init spec TinyModel.config (Rng.ofSeed 1L); classifier.Parameters ]

    let result =
        TrainState.create (Rng.ofSeed 2L) theta
        |> Fit.run
            options
            (FitTask.create (Loss.classifier spec classifier model) rows)
            (fun _ _ -> ())
            System.Threading.CancellationToken.None

    let reached = result.State.Parameters
    use bound = Reft.bind spec reached

    let evaluate rows =
        Batch.epoch PaddingSide.Right 16 None rows
        |> Classify.evaluate [ bound ] (Classifier.withParameters reached classifier) model

    let found = evaluate rows
    Expect.equal found.Rows 60 "rows"
    Expect.isGreaterThan found.Accuracy.Value 0.9 "accuracy"
    Expect.isLessThan found.Loss 0.5 "loss"
    Expect.isGreaterThan start.TrainableCount 0L "something to train"

let private regressionLearns () =
    let model = llama ()
    let task = SequenceTask.regression
    let classifier = fresh HeadTraining.Classifier task
    let rows = toy 30 |> withTarget (fun i -> RowTarget.Values [ float (i % 3) - 1.0 ])
    let spec = loreft 4 |> at (blockOutput [ 0; 1; 2 ]) all |> tied

    let theta =
        Parameters.concat [ Reft.init spec TinyModel.config (Rng.ofSeed 1L); classifier.Parameters ]

    let result =
        TrainState.create (Rng.ofSeed 2L) theta
        |> Fit.run
            { Fit.defaults with
                Epochs = 40
                BatchSize = 15
                LearningRate = 2e-2
                Warmup = Warmup.Steps 0 }
            (FitTask.create (Loss.classifier spec classifier model) rows)
            (fun _ _ -> ())
            System.Threading.CancellationToken.None

    let reached = result.State.Parameters
    use bound = Reft.bind spec reached

    let found =
        Batch.epoch PaddingSide.Right 16 None rows
        |> Classify.evaluate [ bound ] (Classifier.withParameters reached classifier) model

    Expect.isNone found.Accuracy "accuracy is not of numbers"
    Expect.isLessThan found.Loss 0.2 "mean squared error"
    Expect.isGreaterThan found.Pearson.Value 0.85 "Pearson"

/// dL/dθ by central differences, along random directions, for every problem.
let private differences task target () =
    let model = llama ()
    let classifier = fresh HeadTraining.Classifier task
    let start = together classifier
    let rows = toy 6 |> withTarget target |> batch PaddingSide.Right

    let loss v =
        Loss.classifier spec classifier model rows (start.OfVector v)
    // Away from 0, where W tanh would be flat.
    let at = start.Vector + Rng.normal [ start.TrainableCount ] (Rng.ofSeed 8L) * 0.1f
    let gradient = dsharp.grad loss at

    for seed in 0L .. 2L do
        let direction = Rng.normal [ start.TrainableCount ] (Rng.ofSeed (20L + seed))
        let direction = direction / direction.norm ()
        let step = 1e-2f

        let value (v: Tensor) =
            use _ = torch.no_grad ()
            float ((loss v).item<float32>())

        let expected =
            (value (at + direction * step) - value (at - direction * step))
            / (2.0 * float step)

        let found = float ((gradient * direction).sum().item<float32>())
        Expect.floatClose { absolute = 1e-4; relative = 1e-2 } found expected $"direction {seed}"

let private sides () =
    let model = llama ()
    let classifier = fresh HeadTraining.Classifier three
    let theta = together classifier
    use bound = Reft.bind spec theta
    let rows = toy 7

    let logits side rows =
        batch side rows
        |> Classify.logits [ bound ] classifier model
        |> Array.concat
        |> torch.tensor

    let alone = rows |> Array.map (Array.singleton >> logits PaddingSide.Right)
    let alone = torch.cat (ResizeArray alone, 0L)
    Golden.expectClose 1e-5 alone (logits PaddingSide.Right rows) "right"
    Golden.expectClose 1e-5 alone (logits PaddingSide.Left rows) "left"

/// The formulas, by hand.
let private formulas () =
    let logits = torch.tensor ([| 1.0f; -2.0f; 0.5f; 0.0f |], dtype = torch.float32)

    let mean problem (logits: Tensor) columns targets =
        let rows =
            targets |> List.map (fun target -> Example.ofRow [||] (Some target) [| 1 |])

        let task =
            { Problem = problem
              Labels = List.init columns (sprintf "l%d") }

        (SequenceLoss.mean task (Batch.create PaddingSide.Right rows) (logits.view (-1L, int64 columns)))
            .item<float32>()
        |> float

    let softplus z = log (1.0 + exp z)

    let near = Expect.floatClose { absolute = 1e-6; relative = 1e-6 }

    near
        (mean SequenceProblem.SingleLabel logits 2 [ RowTarget.Label 0; RowTarget.Label 1 ])
        ((log (1.0 + exp -3.0) + (log (exp 0.5 + 1.0))) / 2.0)
        "cross-entropy"

    near
        (mean SequenceProblem.MultiLabel logits 2 [ RowTarget.Labels [ 0; 1 ]; RowTarget.Labels [] ])
        ((softplus -1.0 + softplus 2.0 + softplus 0.5 + softplus 0.0) / 4.0)
        "binary cross-entropy"

    near
        (mean SequenceProblem.Regression logits 1 [ for v in [ 0.0; 1.0; 0.5; 3.0 ] -> RowTarget.Values [ v ] ])
        ((1.0 + 9.0 + 0.0 + 9.0) / 4.0)
        "squared error"

    let scores = Classify.scores SequenceProblem.SingleLabel [| 1.0f; 2.0f; 3.0f |]
    near (Array.sum scores) 1.0 "a softmax"
    near (scores[2] / scores[1]) (exp 1.0) "odds"
    near (Classify.scores SequenceProblem.MultiLabel [| 0.0f; 2.0f |]).[1] (1.0 / (1.0 + exp -2.0)) "a sigmoid"

    let pairs =
        [| for x, y in [ 1.0, 2.0; 2.0, 2.5; 3.0, 6.0 ] -> RowTarget.Values [ x ], RowTarget.Values [ y ] |]

    near (SequenceMetrics.pearson pairs).Value (4.0 / sqrt (2.0 * 9.5)) "Pearson"

    Expect.isNone
        (SequenceMetrics.pearson [| for x in 1..3 -> RowTarget.Values [ float x ], RowTarget.Values [ 1.0 ] |])
        "no variance"

/// Each row weighs the same, however its batches are cut.
let private accumulates () =
    let model = llama ()
    let classifier = fresh HeadTraining.Classifier three
    let theta = together classifier
    let rows = toy 5
    let loss = Loss.classifier spec classifier model

    let step batches =
        let struct (report, next) =
            Trainer.step (Trainer.options 1e-2) loss batches (TrainState.create (Rng.ofSeed 0L) theta)

        report, next.Theta

    let whole, expected = step [| batch PaddingSide.Right rows |]

    let parts, found =
        step [| batch PaddingSide.Right rows[..1]; batch PaddingSide.Right rows[2..] |]

    Expect.floatClose Accuracy.medium parts.Loss whole.Loss "loss"
    Golden.expectClose 1e-4 expected found "parameters"

let private roles () =
    let count training =
        (fresh training three).Parameters.TrainableCount

    Expect.equal (count HeadTraining.Classifier) (3L * int64 TinyModel.config.Hidden) "score has no bias"
    Golden.throwsWith<System.ArgumentException> [ "score"; "trained" ] (fun () -> count HeadTraining.Frozen |> ignore)

    use bert = Checkpoint.load (Golden.path [ "a_models"; "bert_seqcls"; "model" ])

    let trainable training (loaded: LoadedModel) =
        (Checkpoint.classifier training loaded).Value.Parameters.TrainableCount

    Expect.equal (trainable HeadTraining.Frozen bert) 0L "frozen"
    Expect.equal (trainable HeadTraining.Classifier bert) (3L * 32L + 3L) "the pooler is the base's"
    Expect.equal (trainable HeadTraining.Whole bert) (3L * 32L + 3L + 32L * 32L + 32L) "the pooler too"
    use masked = Checkpoint.load (Golden.path [ "a_models"; "bert_mlm"; "model" ])
    Expect.isNone (Checkpoint.classifier HeadTraining.Classifier masked) "a language model brings none"

    // It has no pooler: what is drawn is trained.
    let drawn =
        Checkpoint.freshClassifier HeadTraining.Classifier three (Rng.ofSeed 0L) masked

    Expect.equal drawn.Parameters.TrainableCount (3L * 32L + 3L + 32L * 32L + 32L) "a drawn pooler is trained"

    // A new task on a classifier's checkpoint keeps its pooler and nothing else.
    let other =
        Checkpoint.freshClassifier HeadTraining.Classifier three (Rng.ofSeed 0L) bert

    Expect.isTrue
        (Golden.same bert.Tensors["bert.pooler.dense.weight"] other.Parameters["head.bert.pooler.dense.weight"])
        "the pooler"

    Expect.equal other.Parameters.TrainableCount (3L * 32L + 3L) "the pooler is frozen"
    let weights = other.Parameters["head.classifier.weight"]
    Expect.floatClose { absolute = 0.004; relative = 0.0 } (float (weights.std().item<float32>())) 0.02 "deviation"
    Expect.equal (float (other.Parameters["head.classifier.bias"].abs().max().item<float32>())) 0.0 "biases"

let private refusals () =
    let model = llama ()
    let classifier = fresh HeadTraining.Classifier three
    let theta = together classifier

    let loss target =
        toy 2
        |> withTarget (fun i -> if i = 0 then RowTarget.Label 0 else target)
        |> batch PaddingSide.Right
        |> fun batch -> Loss.classifier spec classifier model batch theta |> ignore

    Golden.throwsWith<System.ArgumentException> [ "row 1"; "0 … 2"; "Label 3" ] (fun () -> loss (RowTarget.Label 3))
    Golden.throwsWith<System.ArgumentException> [ "row 1"; "single_label" ] (fun () -> loss (RowTarget.Values [ 1.0 ]))

    Golden.throwsWith<System.ArgumentException> [ "regression" ] (fun () ->
        SequenceTask.create SequenceProblem.SingleLabel [ "only" ] |> ignore)

    Golden.throwsWith<System.ArgumentException> [ "'a' twice" ] (fun () ->
        SequenceTask.create SequenceProblem.MultiLabel [ "a"; "b"; "a" ] |> ignore)

    use bert = Checkpoint.load (Golden.path [ "a_models"; "bert_mlm"; "model" ])

    let text =
        Example.ofText [| 5; 6; 7 |] |> List.singleton |> Batch.create PaddingSide.Right

    Golden.throwsWith<System.InvalidOperationException> [ "bert is an encoder" ] (fun () ->
        Score.logprobs [] bert.Model text |> ignore)

    Golden.throwsWith<System.InvalidOperationException> [ "bert is an encoder" ] (fun () ->
        Loss.reft [] bert.Model text Parameters.empty |> ignore)

/// BERT tells the second text by its segment; padding and the side of it change nothing.
let private segments () =
    use loaded = Checkpoint.load (Golden.path [ "a_models"; "bert_seqcls"; "model" ])
    let classifier = (Checkpoint.classifier HeadTraining.Frozen loaded).Value
    let ids = [| 2; 17; 30; 3; 41; 9; 3 |]
    let pair = Example.ofRow [| 0; 0; 0; 0; 1; 1; 1 |] None ids
    let flat = Example.ofRow [||] None ids
    let short = Example.ofRow [||] None [| 2; 7; 3 |]

    let logits side rows =
        (Batch.create side rows |> Classify.logits [] classifier loaded.Model)[0]
        |> torch.tensor

    let alone = logits PaddingSide.Right [ pair ]
    let long = Example.ofRow [||] None (Array.create 12 8)
    Golden.expectClose 1e-5 alone (logits PaddingSide.Right [ pair; long ]) "right"
    Golden.expectClose 1e-5 alone (logits PaddingSide.Left [ pair; long; short ]) "left"
    Expect.isGreaterThan (Golden.relativeError (logits PaddingSide.Right [ flat ]) alone) 1e-3 "segments matter"

    Golden.expectClose
        1e-6
        (logits PaddingSide.Right [ flat ])
        (logits PaddingSide.Right [ Example.ofRow (Array.zeroCreate 7) None ids ])
        "zeros are what none means"

let private adapter name training =
    Golden.inTemporaryFolder (fun folder ->
        use loaded = Checkpoint.load (Golden.path [ "a_models"; name; "model" ])

        let classifier =
            match Checkpoint.classifier training loaded with
            | Some brought -> brought
            | None -> Checkpoint.freshClassifier training three (Rng.ofSeed 4L) loaded

        let theta = Reft.init spec loaded.Config (Rng.ofSeed 9L)
        // What training gives holds both.
        Parameters.concat [ theta; classifier.Parameters ]
        |> Adapter.saveWithHead (Some classifier) folder loaded.Config loaded.Fingerprint spec

        use read =
            Adapter.load Registry.standard (Some loaded.Fingerprint) loaded.Config folder

        let head = read.Classifier.Value
        Expect.equal head.Task classifier.Task "task"
        Expect.equal head.Head classifier.Head "head"
        Expect.equal read.Parameters.Names theta.Names "interventions' names"

        for p, q in Seq.zip classifier.Parameters.Entries head.Parameters.Entries do
            Expect.equal (q.Name, q.Role) (p.Name, p.Role) "name and role"
            Expect.isTrue (Golden.same p.Value q.Value) p.Name

        let rows = toy 3 |> batch PaddingSide.Right

        let logits (theta: Parameters) classifier =
            use bound = Reft.bind spec theta
            Classify.logits [ bound ] classifier loaded.Model rows

        Expect.equal (logits read.Parameters head) (logits theta classifier) "logits")

let private damaged (old: string) (replacement: string) (fragments: string list) () =
    Golden.inTemporaryFolder (fun folder ->
        use loaded = Checkpoint.load (Golden.path [ "a_models"; "roberta_seqcls"; "model" ])
        let classifier = Checkpoint.classifier HeadTraining.Classifier loaded
        let theta = Reft.init spec loaded.Config (Rng.ofSeed 9L)
        Adapter.saveWithHead classifier folder loaded.Config loaded.Fingerprint spec theta
        let manifest = Path.Combine(folder, "reft.json")
        let text = File.ReadAllText manifest
        Expect.stringContains text old "the manifest"
        File.WriteAllText(manifest, text.Replace(old, replacement))

        Golden.throwsWith<InvalidDataException> fragments (fun () ->
            use _ = Adapter.load Registry.standard None loaded.Config folder
            ()))

[<Tests>]
let tests =
    let scoped name body =
        testCase name (fun () -> TinyModel.scoped body)

    testList
        "Classifiers"
        [ scoped "a decoder with a fresh head learns to classify" learns
          scoped "a decoder with a fresh head learns to regress" regressionLearns
          scoped "gradients, one label" (differences three (fun i -> RowTarget.Label(i % 3)))
          scoped
              "gradients, several labels"
              (differences (SequenceTask.create SequenceProblem.MultiLabel [ "a"; "b" ]) (fun i ->
                  RowTarget.Labels [ i % 2 ]))
          scoped "gradients, numbers" (differences SequenceTask.regression (fun i -> RowTarget.Values [ float i ]))
          scoped "padding on either side" sides
          scoped "losses, scores and metrics by hand" formulas
          scoped "accumulated batches weigh each row the same" accumulates
          scoped "what is trained and what is drawn" roles
          scoped "what is refused" refusals
          scoped "segments of text pairs" segments
          testCase "saved and loaded: BERT, frozen" (fun () -> adapter "bert_seqcls" HeadTraining.Frozen)
          testCase "saved and loaded: BERT, classifier" (fun () -> adapter "bert_seqcls" HeadTraining.Classifier)
          testCase "saved and loaded: RoBERTa, whole" (fun () -> adapter "roberta_seqcls" HeadTraining.Whole)
          testCase "saved and loaded: BERT without a pooler" (fun () -> adapter "bert_mlm" HeadTraining.Classifier)
          testCase "saved and loaded: Llama" (fun () -> adapter "llama" HeadTraining.Classifier)
          testCase
              "damaged: problem"
              (damaged "single_label_classification" "guessing" [ "reft.json"; "head.problem"; "guessing" ])
          testCase "damaged: token" (damaged "\"first\"" "\"last\"" [ "head.token"; "roberta" ])
          testCase "damaged: labels" (damaged "\"LABEL_2\"" "\"LABEL_1\"" [ "head.labels"; "LABEL_1" ])
          testCase
              "damaged: fewer labels"
              (damaged ",\n      \"LABEL_2\"" "" [ "head.classifier.out_proj.weight"; "[2, 32]" ]) ]
