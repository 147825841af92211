namespace Reft.Core

/// <summary>How well labelled rows were predicted.</summary>
type SequenceEvaluation =
    {
        /// How many rows.
        Rows: int
        /// The mean loss; in a regression it is the mean squared error.
        Loss: float
        /// The share of rows whose label, or whose every label, is right; <c>None</c> in a regression.
        Accuracy: float option
        /// F1: of the second label where there are two (the positive one, as in GLUE), the mean over the labels that occur where
        /// there are more (macro), over all decisions where several labels may hold (micro); <c>None</c> in a regression.
        F1: float option
        /// Matthews' correlation of right and predicted labels; <c>None</c> where several labels may hold, and in a regression.
        Matthews: float option
        /// Pearson's correlation of targets and predictions; <c>None</c> where either has no variance, and in a classification.
        Pearson: float option
        /// Spearman's correlation of them; <c>None</c> as Pearson's.
        Spearman: float option
    }

/// <summary>Numbers that compare targets with predictions.</summary>
[<RequireQualifiedAccess>]
module SequenceMetrics =

    /// <summary>The share of rows whose label, or whose every label, is right.</summary>
    /// <param name="pairs">Target and prediction of each row.</param>
    let accuracy (pairs: (RowTarget * RowTarget)[]) : float =
        let same =
            pairs
            |> Array.filter (fun (target, predicted) ->
                match target, predicted with
                | RowTarget.Labels a, RowTarget.Labels b -> set a = set b
                | a, b -> a = b)

        float same.Length / float pairs.Length

    /// The numbers of a side, of all rows.
    let private numbers (choose: RowTarget * RowTarget -> RowTarget) (pairs: (RowTarget * RowTarget)[]) : float[] =
        pairs
        |> Array.collect (fun pair ->
            match choose pair with
            | RowTarget.Values values -> List.toArray values
            | RowTarget.Label label -> [| float label |]
            | RowTarget.Labels _ -> [||])

    /// <summary>Pearson's correlation over the numbers of all rows; see <see cref="M:Reft.Core.CorrelationModule.pearson"/>.</summary>
    /// <param name="pairs">Target and prediction of each row.</param>
    /// <returns>Nothing where either side has no variance.</returns>
    let pearson (pairs: (RowTarget * RowTarget)[]) : float option =
        Correlation.pearson (numbers fst pairs) (numbers snd pairs)

    /// <summary>Spearman's correlation over the numbers of all rows; see <see cref="M:Reft.Core.CorrelationModule.spearman"/>.</summary>
    /// <param name="pairs">Target and prediction of each row.</param>
    /// <returns>Nothing where either side has no variance.</returns>
    let spearman (pairs: (RowTarget * RowTarget)[]) : float option =
        Correlation.spearman (numbers fst pairs) (numbers snd pairs)

    /// <summary>The table of right and predicted labels, where one label of each row is right.</summary>
    /// <param name="labels">How many labels there are.</param>
    /// <param name="pairs">Target and prediction of each row; others than single labels are passed over.</param>
    let confusion (labels: int) (pairs: (RowTarget * RowTarget)[]) : ConfusionTable =
        pairs
        |> Seq.choose (function
            | RowTarget.Label target, RowTarget.Label predicted -> Some(struct (target, predicted))
            | _ -> None)
        |> Confusion.ofPairs labels

    /// F1 of single labels.
    let private singleF1 (table: ConfusionTable) =
        if table.Labels = 2 then
            Confusion.f1 1 table
        else
            Confusion.macroF1 table

    /// <summary>F1 as <see cref="P:Reft.Core.SequenceEvaluation.F1"/> says it.</summary>
    /// <param name="task">What is predicted.</param>
    /// <param name="pairs">Target and prediction of each row.</param>
    let f1 (task: SequenceTask) (pairs: (RowTarget * RowTarget)[]) : float option =
        match task.Problem with
        | SequenceProblem.Regression -> None
        | SequenceProblem.SingleLabel -> pairs |> confusion task.Labels.Length |> singleF1 |> Some
        | SequenceProblem.MultiLabel ->
            let labelsOf target =
                match target with
                | RowTarget.Labels labels -> set labels
                | RowTarget.Label label -> set [ label ]
                | RowTarget.Values _ -> Set.empty

            pairs
            |> Seq.map (fun (target, predicted) -> struct (labelsOf target, labelsOf predicted))
            |> Confusion.microF1
            |> Some

    /// <summary>Matthews' correlation, where one label of each row is right; see <see cref="M:Reft.Core.ConfusionModule.matthews"/>.</summary>
    /// <param name="task">What is predicted.</param>
    /// <param name="pairs">Target and prediction of each row.</param>
    let matthews (task: SequenceTask) (pairs: (RowTarget * RowTarget)[]) : float option =
        match task.Problem with
        | SequenceProblem.SingleLabel -> pairs |> confusion task.Labels.Length |> Confusion.matthews |> Some
        | _ -> None

    /// <summary>How well rows were predicted.</summary>
    /// <param name="task">What is predicted.</param>
    /// <param name="loss">Their mean loss.</param>
    /// <param name="pairs">Target and prediction of each row.</param>
    let evaluation (task: SequenceTask) (loss: float) (pairs: (RowTarget * RowTarget)[]) : SequenceEvaluation =
        let ofNumbers metric =
            if task.Problem = SequenceProblem.Regression then
                metric pairs
            else
                None

        // Counted once for both.
        let table =
            if task.Problem = SequenceProblem.SingleLabel then
                Some(confusion task.Labels.Length pairs)
            else
                None

        { Rows = pairs.Length
          Loss = loss
          Accuracy =
            if task.Problem = SequenceProblem.Regression then
                None
            else
                Some(accuracy pairs)
          F1 =
            match table with
            | Some table -> Some(singleF1 table)
            | None -> f1 task pairs
          Matthews = table |> Option.map Confusion.matthews
          Pearson = ofNumbers pearson
          Spearman = ofNumbers spearman }

    /// <summary>
    /// The metrics that an evaluation of a task gives, by name: <c>loss</c>; of labels <c>accuracy</c>, <c>f1</c>, and
    /// <c>matthews</c> where one of them is right; of numbers <c>pearson</c> and <c>spearman</c>.
    /// </summary>
    let names (task: SequenceTask) : string list =
        match task.Problem with
        | SequenceProblem.SingleLabel -> [ "loss"; "accuracy"; "f1"; "matthews" ]
        | SequenceProblem.MultiLabel -> [ "loss"; "accuracy"; "f1" ]
        | SequenceProblem.Regression -> [ "loss"; "pearson"; "spearman" ]

    /// <summary>The same with their values; one that is not defined is no number.</summary>
    let metrics (task: SequenceTask) (found: SequenceEvaluation) : Metrics =
        let value name =
            match name with
            | "loss" -> Some found.Loss
            | "accuracy" -> found.Accuracy
            | "f1" -> found.F1
            | "matthews" -> found.Matthews
            | "pearson" -> found.Pearson
            | _ -> found.Spearman

        names task |> List.map (fun name -> name, Option.defaultValue nan (value name))
