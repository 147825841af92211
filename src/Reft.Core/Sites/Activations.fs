namespace Reft.Core

/// <summary>
/// Rows of hidden states picked from a run: what <c>Reft.collect</c> returns, and what an interchange puts in another
/// run's place.
/// </summary>
[<NoEquality; NoComparison>]
type Activations =
    {
        /// Which run they are of, e.g. <c>source</c>: interventions that read other runs find them by this name.
        Name: string
        /// Where in the model.
        Site: Site
        /// The batch row of each value. [n]
        Rows: int[]
        /// The token of each value, counted from 0 in its row. [n]
        Tokens: int[]
        /// The hidden states, as the model has them. [n, width]
        Values: Tensor
    }
