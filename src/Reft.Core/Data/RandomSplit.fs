namespace Reft.Core

open TorchSharp

/// <summary>Dividing rows at random.</summary>
[<RequireQualifiedAccess>]
module RandomSplit =

    /// <summary>
    /// The row numbers of parts of given lengths, as <c>torch.utils.data.random_split</c> draws them right after
    /// <c>torch.manual_seed</c>: one <c>torch.randperm</c> over all rows, cut into the parts one after another.
    /// </summary>
    /// <param name="seed">The seed.</param>
    /// <param name="lengths">How many rows each part has.</param>
    /// <exception cref="T:System.ArgumentException">A length is negative.</exception>
    let byTorch (seed: int64) (lengths: int list) : int[] list =
        if lengths |> List.exists (fun length -> length < 0) then
            invalidArg (nameof lengths) "expected lengths of 0 or more"

        Native.load ()
        use _ = torch.NewDisposeScope()
        use generator = new torch.Generator(uint64 seed, torch.CPU)

        let order =
            torch
                .randperm(int64 (List.sum lengths), torch.int64, torch.CPU, generator = generator)
                .data<int64>()
                .ToArray()

        List.zip (lengths |> List.scan (+) 0 |> List.take lengths.Length) lengths
        |> List.map (fun (start, length) -> Array.sub order start length |> Array.map int)
