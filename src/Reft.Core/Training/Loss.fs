namespace Reft.Core

open TorchSharp

/// <summary>
/// What training minimises: a pure function of a batch and parameters, the mean over the batch's scored tokens, as a
/// scalar fp32 tensor that gradients can flow through.
/// </summary>
type Loss = Batch -> Parameters -> Tensor

/// <summary>Losses.</summary>
[<RequireQualifiedAccess>]
module Loss =

    /// <summary>
    /// The hidden states of a batch's scored tokens, which the head reads, and the ids to predict. A loss of next tokens reads
    /// no other position. [scored, hidden], [scored] int64
    /// </summary>
    let scored (batch: Batch) (context: Context) (model: Transformer) : struct (Tensor * Tensor) =
        model
        |> Transformer.residual context (Batch.ids model.Device batch)
        |> Readout.scored batch model

    /// <summary>What a readout makes of the model.</summary>
    let ofReadout (readout: Readout) (tuned: Tuned) : Loss =
        fun batch theta ->
            let struct (context, model) = tuned |> Tuned.attach batch theta

            model
            |> Transformer.residual context (Batch.ids model.Device batch)
            |> readout batch theta context model

    /// <summary>
    /// The mean next-token loss of a batch's scored tokens. It has a first derivative; <see cref="M:Reft.Core.TunedModule.smooth"/>
    /// gives all.
    /// </summary>
    let language (tuned: Tuned) : Loss = ofReadout Readout.language tuned

    /// <summary>
    /// The mean loss of rows that are labelled as a whole, by a classification head whose parameters are among those that are
    /// trained (see <see cref="M:Reft.Core.SequenceLossModule.mean"/>).
    /// </summary>
    /// <exception cref="T:System.ArgumentException">A row has no label, or one that is not of the task.</exception>
    let sequence (classifier: Classifier) (tuned: Tuned) : Loss =
        ofReadout (Readout.sequence classifier) tuned

    /// <summary>
    /// The next-token loss of a frozen model with a spec attached, as a function of the spec's parameters. It has a first
    /// derivative; <see cref="M:Reft.Core.LossModule.reftSmooth"/> has all.
    /// </summary>
    let reft (spec: ReftSpec) (model: Transformer) : Loss = model |> Tuned.reft spec |> language

    /// <summary>
    /// <see cref="M:Reft.Core.LossModule.reft"/> with a context that more is known of, such as the activations of a
    /// source run that an interchange reads: <paramref name="prepare"/> maps the batch and its context to that context.
    /// </summary>
    let reftIn (prepare: Batch -> Context -> Context) (spec: ReftSpec) (model: Transformer) : Loss =
        model |> Tuned.reft spec |> Tuned.preparing prepare |> language

    /// <summary>
    /// <see cref="M:Reft.Core.LossModule.sequence"/> of a frozen model with a spec attached. The spec may be empty, so that the
    /// head alone is trained.
    /// </summary>
    let classifier (spec: ReftSpec) (classifier: Classifier) (model: Transformer) : Loss =
        model |> Tuned.reft spec |> sequence classifier

    /// <summary><see cref="M:Reft.Core.LossModule.classifier"/> by formulas that have derivatives of every order.</summary>
    let classifierSmooth (spec: ReftSpec) (classifier: Classifier) (model: Transformer) : Loss =
        model |> Tuned.reft spec |> Tuned.smooth |> sequence classifier

    /// <summary>
    /// A loss plus <paramref name="weight"/> times a penalty on the parameters, e.g. the expected number of open gates.
    /// </summary>
    let withPenalty (weight: float) (penalty: Parameters -> Tensor) (loss: Loss) : Loss =
        fun batch theta -> loss batch theta .+ penalty theta *. float32 weight

    /// <summary>
    /// <see cref="M:Reft.Core.LossModule.reft"/> by formulas that have derivatives of every order, for Hessians; slower,
    /// and it holds all logits.
    /// </summary>
    let reftSmooth (spec: ReftSpec) (model: Transformer) : Loss =
        model |> Tuned.reft spec |> Tuned.smooth |> language

    /// <summary>
    /// The next-token loss of a model built from the parameters themselves, for training all weights.
    /// </summary>
    /// <param name="build">All weights → the model, e.g. <c>fun theta -> Llama.build config (fun name -> theta[name])</c>.</param>
    let fullModel (build: Parameters -> Transformer) : Loss = build |> Tuned.ofModel |> language

    /// <summary>
    /// A loss as a function of one flat vector, for the functions that differentiate:
    /// <c>dsharp.grad (loss batch |> Loss.ofVector theta) theta.Vector</c>.
    /// </summary>
    /// <param name="layout">Names, shapes and constants; its trainable values are not read.</param>
    /// <param name="loss">A function of parameters.</param>
    let ofVector (layout: Parameters) (loss: Parameters -> Tensor) : Tensor -> Tensor = layout.OfVector >> loss
