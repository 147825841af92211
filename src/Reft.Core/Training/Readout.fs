namespace Reft.Core

open TorchSharp

/// <summary>
/// What stands on the residual stream that a batch leaves after the last block, [batch, seq, hidden]: from it a scalar fp32
/// tensor is computed, by the final norm and a head. The model is the one with everything attached.
/// </summary>
type Readout = Batch -> Parameters -> Context -> Transformer -> Tensor -> Tensor

/// <summary>Readouts.</summary>
[<RequireQualifiedAccess>]
module Readout =

    /// <summary>
    /// The hidden states of a batch's scored tokens, which the head reads, and the ids to predict. A loss of next tokens reads
    /// no other position. [scored, hidden], [scored] int64
    /// </summary>
    /// <exception cref="T:System.ArgumentException">No token of the batch is scored.</exception>
    let scored (batch: Batch) (model: Transformer) (residual: Tensor) : struct (Tensor * Tensor) =
        if batch.Scored.Length = 0 then
            invalidArg (nameof batch) "no token of the batch is scored: expected at least one label that is not -100"

        let rows = (torch.tensor batch.Scored).``to`` model.Device
        let targets = (torch.tensor batch.Targets).``to`` model.Device

        struct (residual.view(-1L, int64 model.Config.Hidden).index_select(0L, rows)
                |> model.Norm,
                targets)

    /// <summary>The mean next-token loss of a batch's scored tokens.</summary>
    let language: Readout =
        fun batch _ context model residual ->
            let struct (hidden, targets) = residual |> scored batch model
            CrossEntropy.mean context.Attention (Transformer.causalHead model) hidden targets

    /// <summary>
    /// The mean loss of rows that are labelled as a whole, by a classification head whose parameters are among those that are
    /// trained (see <see cref="M:Reft.Core.SequenceLossModule.mean"/>).
    /// </summary>
    let sequence (classifier: Classifier) : Readout =
        fun batch theta context model residual ->
            residual
            |> Classifier.ofResidual classifier.Head theta context model
            |> SequenceLoss.mean classifier.Task batch
