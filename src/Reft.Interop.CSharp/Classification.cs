namespace Reft;

/// <summary>What is predicted of a whole row.</summary>
public enum ClassifierProblem
{
    /// <summary>One of the labels.</summary>
    SingleLabel,

    /// <summary>Any of the labels, or none.</summary>
    MultiLabel,

    /// <summary>A number.</summary>
    Regression,
}

/// <summary>Which parameters of a classification head are trained with the interventions.</summary>
public enum ClassifierTraining
{
    /// <summary>None: only a head that the model's folder brings can stay as it is.</summary>
    Frozen,

    /// <summary>
    /// Those that are no layer of the base model, as pyreft's <c>allow_cls_grad</c> does; a layer that had to be drawn is
    /// trained too.
    /// </summary>
    Classifier,

    /// <summary>All of them, BERT's pooler included.</summary>
    Whole,
}

/// <summary>Which classification head a model gets.</summary>
public sealed record ClassifierOptions
{
    /// <summary>What is predicted.</summary>
    public ClassifierProblem Problem { get; init; } = ClassifierProblem.SingleLabel;

    /// <summary>The labels, in the order of the outputs; a regression needs none.</summary>
    public IReadOnlyList<string> Labels { get; init; } = [];

    /// <summary>What of the head is trained.</summary>
    public ClassifierTraining Training { get; init; } = ClassifierTraining.Classifier;

    /// <summary>The seed of the head's fresh weights.</summary>
    public long Seed { get; init; } = 42;
}

/// <summary>The classification head of a model.</summary>
/// <param name="Problem">What it predicts.</param>
/// <param name="Labels">Its labels, in the order of the outputs.</param>
/// <param name="Parameters">Its weights, in numbers.</param>
/// <param name="TrainableParameters">Those that are trained.</param>
public sealed record ClassifierDescription(
    ClassifierProblem Problem, IReadOnlyList<string> Labels, long Parameters, long TrainableParameters)
{
    /// <summary>One line.</summary>
    public override string ToString() =>
        string.Create(
            System.Globalization.CultureInfo.InvariantCulture,
            $"{(Problem == ClassifierProblem.Regression ? "regression" : $"{Labels.Count} labels")}, a head of {Parameters:N0} parameters, {TrainableParameters:N0} of them trainable");
}

/// <summary>A label and how much is for it.</summary>
/// <param name="Label">The label.</param>
/// <param name="Score">Its probability: of one label among all, or of this label by itself where several may hold.</param>
public sealed record LabelScore(string Label, double Score);

/// <summary>What a model predicts of a row.</summary>
public sealed record Classification
{
    /// <summary>The likeliest label; null where several may hold, and in a regression.</summary>
    public string? Label { get; init; }

    /// <summary>The labels likelier than not, where several may hold; else the likeliest one. Empty in a regression.</summary>
    public required IReadOnlyList<string> Labels { get; init; }

    /// <summary>The number that a regression predicts.</summary>
    public double? Value { get; init; }

    /// <summary>Every label with its probability, in the order of the outputs. Empty in a regression.</summary>
    public required IReadOnlyList<LabelScore> Scores { get; init; }
}

/// <summary>How well labelled rows are predicted.</summary>
public sealed record ClassifierEvaluation
{
    /// <summary>How many rows.</summary>
    public required int Rows { get; init; }

    /// <summary>The mean loss; the mean squared error in a regression.</summary>
    public required double Loss { get; init; }

    /// <summary>The share of rows whose label, or whose every label, is right; null in a regression.</summary>
    public double? Accuracy { get; init; }

    /// <summary>
    /// F1: of the second label where there are two (the positive one, as in GLUE), the mean over the labels that occur where there
    /// are more (macro), over all decisions where several labels may hold (micro); null in a regression.
    /// </summary>
    public double? F1 { get; init; }

    /// <summary>
    /// Matthews' correlation of right and predicted labels; 0 where either are all the same, null where several labels may hold
    /// and in a regression.
    /// </summary>
    public double? Matthews { get; init; }

    /// <summary>Pearson's correlation in a regression; null where targets or predictions do not vary.</summary>
    public double? Pearson { get; init; }

    /// <summary>Spearman's correlation in a regression; null where targets or predictions do not vary.</summary>
    public double? Spearman { get; init; }
}
