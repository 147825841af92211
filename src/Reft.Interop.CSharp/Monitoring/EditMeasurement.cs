namespace Reft;

/// <summary>How far the hidden states at one site and position are moved by what is attached there, on average over rows.</summary>
/// <param name="Site">Where in the model, e.g. <c>layers.7.block_output</c>.</param>
/// <param name="Layer">Its layer.</param>
/// <param name="Position">
/// Which token: <c>f1</c> the first of the prompt, <c>l1</c> its last, <c>t5</c> its token 5 counted from 0, <c>+1</c> the first
/// after it; <c>t8…t15</c> several together, where there are many.
/// </param>
/// <param name="Rows">How many hidden states were measured.</param>
/// <param name="Change">The mean of ‖Δ‖, the Euclidean norm of the change.</param>
/// <param name="Hidden">The mean of ‖h‖, the norm of the hidden state before it.</param>
/// <param name="Ratio">The mean of ‖Δ‖ / ‖h‖.</param>
public sealed record EditMeasurement(
    string Site, int Layer, string Position, int Rows, double Change, double Hidden, double Ratio);
