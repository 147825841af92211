namespace Reft.Reproduction;

/// <summary>A task of texts and labels, in three parts that share no text.</summary>
/// <param name="Name">Its name on the command line.</param>
/// <param name="Labels">The labels, in the order of the classes.</param>
/// <param name="Train">What is trained on.</param>
/// <param name="Development">What hyper-parameters are chosen on.</param>
/// <param name="Test">What is reported, and nothing is chosen on.</param>
internal sealed record RealTask(
    string Name,
    IReadOnlyList<string> Labels,
    IReadOnlyList<LabelledRow> Train,
    IReadOnlyList<LabelledRow> Development,
    IReadOnlyList<LabelledRow> Test);
