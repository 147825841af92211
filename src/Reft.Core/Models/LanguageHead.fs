namespace Reft.Core

open TorchSharp

/// <summary>Hidden states → logits over the vocabulary.</summary>
[<NoEquality; NoComparison>]
type LanguageHead =
    {
        /// What comes before the map, e.g. the dense layer and norm of a masked-language-model head; else the identity.
        Transform: Tensor -> Tensor
        /// The map. [..., hidden] → [..., vocabulary]
        Map: Linear
        /// c of the cap c tanh(z / c) of the logits.
        Softcap: float option
    }

/// <summary>Language-model heads.</summary>
[<RequireQualifiedAccess>]
module LanguageHead =

    /// <summary>A head that is one map.</summary>
    let ofMap (map: Linear) : LanguageHead =
        { Transform = id
          Map = map
          Softcap = None }

    /// <summary>The head, where the checkpoint has one.</summary>
    let ofCheckpoint (found: CheckpointHead) (make: unit -> LanguageHead) : LanguageHead option =
        match found with
        | CheckpointHead.Language -> Some(make ())
        | CheckpointHead.Bare
        | CheckpointHead.Sequence _ -> None

    /// <summary>The map and its cap, in fp32, of hidden states that are transformed already. [..., hidden] → [..., vocabulary]</summary>
    let mapped (head: LanguageHead) (hidden: Tensor) : Tensor =
        Scope.run (fun () ->
            let logits = (hidden |> Linear.apply head.Map).``to`` torch.float32

            match head.Softcap with
            | Some cap -> (logits /. float32 cap).tanh() *. float32 cap
            | None -> logits)

    /// <summary>The logits, fp32. [..., hidden] → [..., vocabulary]</summary>
    let logits (head: LanguageHead) (hidden: Tensor) : Tensor =
        Scope.run (fun () -> hidden |> head.Transform |> mapped head)
