namespace Reft.Core

open TorchSharp

/// <summary>Means over what each pair, row or token of several batches gives.</summary>
[<RequireQualifiedAccess>]
module internal TermMetrics =

    /// <summary>The mean of each of several numbers, by name, without gradients.</summary>
    /// <param name="values">What a batch gives: for each name one number for each of its terms. [terms]</param>
    /// <param name="batches">The batches.</param>
    /// <exception cref="T:System.ArgumentException">There are no terms.</exception>
    let mean (values: Batch -> (string * Tensor) list) (batches: Batch seq) : Metrics =
        use _ = torch.no_grad ()

        let sums =
            [ for batch in batches do
                  use _ = torch.NewDisposeScope()

                  for name, terms in values batch -> name, struct (float (terms.sum().item<float32>()), terms.numel ()) ]

        if sums.IsEmpty then
            invalidArg (nameof batches) "there is nothing to evaluate: expected at least one row"

        [ for name in sums |> List.map fst |> List.distinct ->
              let own = sums |> List.filter (fst >> (=) name) |> List.map snd

              name,
              (own |> List.sumBy (fun struct (sum, _) -> sum))
              / float (own |> List.sumBy (fun struct (_, count) -> count)) ]
