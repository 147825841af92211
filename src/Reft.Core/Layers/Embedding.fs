namespace Reft.Core

open TorchSharp

/// <summary>Looking up rows of tables.</summary>
[<RequireQualifiedAccess>]
module Embedding =

    /// <summary>The rows of a table [n, hidden] by their numbers. [batch, seq] → [batch, seq, hidden]</summary>
    let rows (table: Tensor) (numbers: Tensor) : Tensor =
        Scope.run (fun () ->
            table.index_select(0L, numbers.reshape -1L).view(numbers.shape[0], numbers.shape[1], table.shape[1]))

    /// <summary>The rows of a table of learnt positions, for the tokens of a window. [batch, seq, hidden]</summary>
    /// <param name="first">The row of position 0.</param>
    /// <param name="table">[positions, hidden]</param>
    /// <param name="context">The window.</param>
    /// <exception cref="T:System.ArgumentException">A row is longer than the model has positions.</exception>
    let positions (first: int) (table: Tensor) (context: Context) : Tensor =
        let known = int table.shape[0] - first

        for row in 0 .. context.Spans.Length - 1 do
            let length = context.Spans[row].Length

            if length > known then
                invalidArg
                    (nameof context)
                    $"row {row} has {length} tokens, and this model has learnt {known} positions: shorten the row"

        Scope.run (fun () -> context.PositionIds.add (held (int64 first), held 1) |> rows table)
