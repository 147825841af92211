namespace Reft.Core

/// <summary>Where the training of a method starts.</summary>
[<RequireQualifiedAccess>]
type Start =
    /// As pyreft draws its parameters: the first step already finds an edited model.
    | Pyreft
    /// Δ = 0: the first step finds the base model.
    | Identity

/// <summary>The names of starts, and parameters drawn as torch draws them.</summary>
[<RequireQualifiedAccess>]
module Start =

    let private names = [ Start.Pyreft, "pyreft"; Start.Identity, "identity" ]

    /// <summary>Its name in files.</summary>
    let name (start: Start) : string =
        names |> List.find (fst >> (=) start) |> snd

    /// <summary>The start of a name.</summary>
    /// <exception cref="T:System.ArgumentException">There is none of that name.</exception>
    let ofName (text: string) : Start =
        match names |> List.tryFind (snd >> (=) text) with
        | Some(start, _) -> start
        | None -> invalidArg (nameof text) $"'{text}' is no start: expected pyreft or identity"

    /// <summary>As <c>torch.nn.Linear</c> draws its weights: U(−1/√inputs, 1/√inputs).</summary>
    let linear (inputs: int) (shape: int64 list) (rng: Rng) : Tensor =
        let bound = 1.0 / sqrt (float inputs)
        Rng.uniform -bound bound shape rng
