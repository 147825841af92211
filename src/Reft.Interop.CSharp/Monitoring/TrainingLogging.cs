namespace Reft;

/// <summary>What a training run writes down as it goes, for people to look at.</summary>
public sealed record TrainingLogging
{
    /// <summary>
    /// The file of the log, one JSON object a line: see <see cref="TrainingLog"/>. A fresh run replaces it; a resumed one goes
    /// on in it, after the step that it resumed from. Null writes none.
    /// </summary>
    public string? JsonLines { get; init; }

    /// <summary>The folder of TensorBoard event files, made if need be; null writes none.</summary>
    public string? TensorBoard { get; init; }

    /// <summary>
    /// The steps between measurements of how far hidden states are moved, besides those after the first and the last step;
    /// null measures nothing. One costs a forward pass of <see cref="EditNormRows"/> rows up to the last edited layer, without
    /// gradients: at 25 and with the rows of a batch, about 1 % of a run.
    /// </summary>
    public int? EditNormsEvery { get; init; } = 25;

    /// <summary>How many rows that is done on: the first held-out ones, or the first of the training where none are held out.</summary>
    public int EditNormRows { get; init; } = 8;
}
