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
    (
        dtype: torch.ScalarType,
        device: torch.Device,
        format: WeightFormat,
        rows: IReadOnlyDictionary<string, struct (string * SafetensorsFile)>
    ) =

    let tensors = Dictionary<string, Tensor>(StringComparer.Ordinal)
    let scales = Dictionary<string, Tensor>(StringComparer.Ordinal)

    let put (table: Dictionary<string, Tensor>) name (tensor: Tensor) =
        match table.TryGetValue name with
        | true, earlier -> earlier.Dispose()
        | _ -> ()

        // A view of the file where dtype and device are already right.
        let kept = tensor.``to``(device).DetachFromDisposeScope()
        table[name] <- kept
        kept

    let materialise name (change: Tensor -> Tensor) =
        let struct (stored, file: SafetensorsFile) = rows[name]
        use _ = torch.NewDisposeScope()
        (change (file.Read stored)).``to`` dtype |> put tensors name

    let find name =
        match tensors.TryGetValue name with
        | true, tensor -> tensor
        | _ -> materialise name id

    /// The numbers are the file's, not those rounded to the model's dtype, and only one tensor of the file is in memory.
    let quantise (entry: LinearEntry) (change: Tensor -> Tensor) =
        let name = $"{entry.Name}.weight"
        let struct (stored, file: SafetensorsFile) = rows[name]
        use _ = torch.NewDisposeScope()
        let matrix = change (file.ReadCopy stored)

        let values, scale =
            (if entry.Transposed then matrix.t().contiguous() else matrix)
            |> Int8.quantise dtype

        put tensors name values, put scales name scale

    let quantised (entry: LinearEntry) =
        let name = $"{entry.Name}.weight"

        match scales.TryGetValue name with
        | true, scale -> tensors[name], scale
        | _ -> quantise entry id

    let isInt8 (entry: LinearEntry) =
        format = WeightFormat.Int8 && entry.OfBlock

    /// How matrices of the blocks are kept.
    member _.Format: WeightFormat = format

    /// What a family builds from.
    member _.Weights: Weights =
        Weights.ofTensors find
        |> Weights.withInt8 (fun entry -> if isInt8 entry then Some(quantised entry) else None)

    /// Puts a function of the file's matrix in its place. What was built before has lost it.
    member _.Change (entry: LinearEntry) (change: Tensor -> Tensor) : unit =
        if isInt8 entry then
            quantise entry change |> ignore
        else
            materialise $"{entry.Name}.weight" change |> ignore

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
