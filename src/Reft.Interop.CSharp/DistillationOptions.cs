namespace Reft;

/// <summary>How a teacher is followed: w T² KL(teacher ‖ student) at temperature T, and 1 − w times the loss of the tokens themselves.</summary>
public sealed record DistillationOptions
{
    /// <summary>T, by which the logits of both are divided before their softmax.</summary>
    public double Temperature { get; init; } = 1;

    /// <summary>w, 0 … 1: 1 follows the teacher alone.</summary>
    public double Weight { get; init; } = 1;

    /// <summary>
    /// The prompt that the teacher reads in place of a row's, e.g. with instructions that the student is to do without; the same
    /// where it is not given. Rows must then have texts.
    /// </summary>
    public Func<string, string>? TeacherPrompt { get; init; }
}

/// <summary>How near a model is to its teacher, over scored tokens.</summary>
public sealed record DistillationEvaluation
{
    /// <summary>The mean loss.</summary>
    public required double Loss { get; init; }

    /// <summary>The mean of KL(teacher ‖ student), at the temperature.</summary>
    public required double Divergence { get; init; }

    /// <summary>The mean loss of the tokens themselves.</summary>
    public required double LanguageLoss { get; init; }
}
