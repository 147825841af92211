namespace Reft.Core

open System
open System.Collections.Generic
open TorchSharp

/// <summary>How a loaded model keeps the matrices of its blocks.</summary>
[<RequireQualifiedAccess>]
type WeightFormat =
    /// In the dtype that the model computes in: the mapped file itself where that is the file's.
    | AsStored
    /// As 8-bit whole numbers with one factor per output channel, see <see cref="T:Reft.Core.Int8Module"/>. Embeddings, norms,
    /// biases and the head stay in the model's dtype.
    | Int8

/// The tensors of a model that is being loaded, each made when a family first asks for it; no scope owns them.
[<Sealed>]
type internal WeightStore
    (dtype: torch.ScalarType, device: torch.Device, rows: IReadOnlyDictionary<string, struct (string * SafetensorsFile)>)
    =

    let tensors = Dictionary<string, Tensor>(StringComparer.Ordinal)
    let scales = Dictionary<string, Tensor>(StringComparer.Ordinal)

    /// A view of the file where dtype and device are already right.
    let materialise name =
        let struct (stored, file: SafetensorsFile) = rows[name]
        use _ = torch.NewDisposeScope()
        let view = file.Read stored
        view.``to``(dtype, device).DetachFromDisposeScope()

    let find name =
        match tensors.TryGetValue name with
        | true, tensor -> tensor
        | _ ->
            let tensor = materialise name
            tensors.Add(name, tensor)
            tensor

    /// The numbers are the file's, not those rounded to the model's dtype, and only one tensor of the file is in memory.
    let quantise (entry: LinearEntry) =
        let name = $"{entry.Name}.weight"

        match scales.TryGetValue name with
        | true, scale -> tensors[name], scale
        | _ ->
            let struct (stored, file: SafetensorsFile) = rows[name]
            use _ = torch.NewDisposeScope()
            let copy = file.ReadCopy stored
            let weight = if entry.Transposed then copy.t().contiguous() else copy
            let values, scale = weight |> Int8.quantise dtype
            let placed = values.``to``(device).DetachFromDisposeScope()
            tensors.Add(name, placed)
            let factors = scale.``to``(device).DetachFromDisposeScope()
            scales.Add(name, factors)
            placed, factors

    /// The parts of a block have its number in their names; a head has none.
    let ofBlock (entry: LinearEntry) =
        entry.Name.Split '.'
        |> Array.exists (fun part -> part <> "" && part |> Seq.forall Char.IsAsciiDigit)

    /// What a family builds from.
    member _.Weights(format: WeightFormat) : Weights =
        match format with
        | WeightFormat.AsStored -> Weights.ofTensors find
        | WeightFormat.Int8 ->
            Weights.ofTensors find
            |> Weights.withInt8 (fun entry -> if ofBlock entry then Some(quantise entry) else None)

    /// Makes those that nothing asked for.
    member _.Complete() : unit =
        for name in rows.Keys do
            find name |> ignore

    /// By name; a quantised matrix is its whole numbers.
    member _.Tensors: IReadOnlyDictionary<string, Tensor> = tensors

    /// What the rows of quantised matrices are multiplied by.
    member _.Scales: IReadOnlyDictionary<string, Tensor> = scales

    interface IDisposable with
        member _.Dispose() =
            for tensor in Seq.append tensors.Values scales.Values do
                tensor.Dispose()
