namespace Reft.Core

open TorchSharp

/// <summary>A linear map as a checkpoint names it: <c>NAME.weight</c> and perhaps <c>NAME.bias</c>.</summary>
[<Struct>]
type LinearEntry =
    {
        /// The name without <c>.weight</c>.
        Name: string
        /// Whether there is a bias.
        Biased: bool
        /// Whether the matrix is stored as [in, out], as by GPT-2.
        Transposed: bool
    }

    /// <summary>Whether it is a map of a block, whose number is a part of its name; a head's has none.</summary>
    member entry.OfBlock: bool =
        entry.Name.Split '.'
        |> Array.exists (fun part -> part <> "" && part |> Seq.forall System.Char.IsAsciiDigit)

/// <summary>
/// Where a family's blocks take their weights from. Low-rank updates and quantised matrices are other values of it, so that
/// a family knows nothing of them.
/// </summary>
[<NoEquality; NoComparison>]
type Weights =
    {
        /// Name → tensor.
        Tensor: string -> Tensor
        /// A map of the blocks.
        Linear: LinearEntry -> Linear
    }

/// <summary>Where weights come from.</summary>
[<RequireQualifiedAccess>]
module Weights =

    /// <summary>The tensors that <paramref name="find"/> gives by name, as they are.</summary>
    let ofTensors (find: string -> Tensor) : Weights =
        { Tensor = find
          Linear =
            fun entry ->
                let weight = find $"{entry.Name}.weight"

                { Weight =
                    if entry.Transposed then
                        LinearWeight.Transposed weight
                    else
                        LinearWeight.Dense weight
                  Bias =
                    if entry.Biased then
                        Some(find $"{entry.Name}.bias")
                    else
                        None
                  Updates = []
                  Rescale = None } }

    /// <summary>The same weights with int8 matrices (see <see cref="T:Reft.Core.Int8Module"/>) in place of some.</summary>
    /// <param name="find">A map → its whole numbers [out, in] and what each row is multiplied by [out, 1]; <c>None</c> leaves it.</param>
    /// <param name="weights">Where everything else comes from.</param>
    let withInt8 (find: LinearEntry -> (Tensor * Tensor) option) (weights: Weights) : Weights =
        { weights with
            Linear =
                fun entry ->
                    let found = find entry
                    let linear = weights.Linear entry

                    match found with
                    | Some int8 ->
                        { linear with
                            Weight = LinearWeight.Int8 int8 }
                    | None -> linear }

    /// <summary>The same weights with low-rank updates beside the linear maps that have any.</summary>
    /// <param name="updates">The name of a map, without <c>.weight</c> → its updates.</param>
    /// <param name="weights">Where everything else comes from.</param>
    let withUpdates (updates: string -> LowRankUpdate list) (weights: Weights) : Weights =
        { weights with
            Linear =
                fun entry ->
                    let linear = weights.Linear entry

                    { linear with
                        Updates = linear.Updates @ updates entry.Name } }
