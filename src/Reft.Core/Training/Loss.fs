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

    /// The mean cross-entropy of a batch's scored tokens: the head reads no other position.
    let private causal (tuned: Context -> Transformer) (batch: Batch) (context: Context) : Tensor =
        if batch.Scored.Length = 0 then
            invalidArg (nameof batch) "no token of the batch is scored: expected at least one label that is not -100"

        let tuned = tuned context
        let head = Transformer.causalHead tuned
        let hidden = tuned |> Transformer.residual context (Batch.ids tuned.Device batch)
        let rows = (torch.tensor batch.Scored).``to`` tuned.Device
        let targets = (torch.tensor batch.Targets).``to`` tuned.Device

        let scored =
            hidden.view(-1L, int64 tuned.Config.Hidden).index_select(0L, rows) // [scored, hidden]
            |> tuned.Norm

        CrossEntropy.mean context.Attention head scored targets

    let private contextOf (batch: Batch) (model: Transformer) = Batch.context model batch

    /// <summary>
    /// The next-token loss of a frozen model with a spec attached, as a function of the spec's parameters. It has a first
    /// derivative; <see cref="M:Reft.Core.LossModule.reftSmooth"/> has all.
    /// </summary>
    let reft (spec: ReftSpec) (model: Transformer) : Loss =
        fun batch theta ->
            model
            |> contextOf batch
            |> causal (fun context -> model |> Reft.attach spec theta context) batch

    /// <summary>
    /// <see cref="M:Reft.Core.LossModule.reft"/> with a context that more is known of, such as the activations of a
    /// source run that an interchange reads: <paramref name="prepare"/> maps the batch and its context to that context.
    /// </summary>
    let reftIn (prepare: Batch -> Context -> Context) (spec: ReftSpec) (model: Transformer) : Loss =
        fun batch theta ->
            model
            |> contextOf batch
            |> prepare batch
            |> causal (fun context -> model |> Reft.attach spec theta context) batch

    /// <summary>
    /// The loss of rows that are labelled as a whole, on a frozen model with a spec attached and a classification head, as a
    /// function of the parameters of both (see <see cref="M:Reft.Core.SequenceLossModule.mean"/>). It has a first derivative.
    /// <paramref name="prepare"/> maps a batch and its context to a context that more is known of; the spec may be empty, so
    /// that the head alone is trained.
    /// </summary>
    /// <exception cref="T:System.ArgumentException">A row has no label, or one that is not of the task.</exception>
    let classifierIn
        (prepare: Batch -> Context -> Context)
        (spec: ReftSpec)
        (classifier: Classifier)
        (model: Transformer)
        : Loss =
        fun batch theta ->
            let context = model |> contextOf batch |> prepare batch

            model
            |> Reft.attach spec theta context
            |> Classifier.run classifier.Head theta context (Batch.ids model.Device batch)
            |> SequenceLoss.mean classifier.Task batch

    /// <summary><see cref="M:Reft.Core.LossModule.classifierIn"/> with the context that every batch has.</summary>
    let classifier (spec: ReftSpec) (classifier: Classifier) (model: Transformer) : Loss =
        fun batch theta -> classifierIn (fun _ -> id) spec classifier model batch theta

    /// <summary><see cref="M:Reft.Core.LossModule.classifier"/> by formulas that have derivatives of every order.</summary>
    let classifierSmooth (spec: ReftSpec) (classifier: Classifier) (model: Transformer) : Loss =
        fun batch theta -> classifierIn (fun _ -> Context.withPlainAttention) spec classifier model batch theta

    /// <summary>
    /// A loss plus <paramref name="weight"/> times a penalty on the parameters, e.g. the expected number of open gates.
    /// </summary>
    let withPenalty (weight: float) (penalty: Parameters -> Tensor) (loss: Loss) : Loss =
        fun batch theta -> loss batch theta + penalty theta * float32 weight

    /// <summary>
    /// <see cref="M:Reft.Core.LossModule.reft"/> by formulas that have derivatives of every order, for Hessians; slower,
    /// and it holds all logits.
    /// </summary>
    let reftSmooth (spec: ReftSpec) (model: Transformer) : Loss =
        fun batch theta ->
            model
            |> contextOf batch
            |> Context.withPlainAttention
            |> causal (fun context -> model |> Reft.attach spec theta context) batch

    /// <summary>
    /// The next-token loss of a model built from the parameters themselves, for training all weights.
    /// </summary>
    /// <param name="build">All weights → the model, e.g. <c>fun theta -> Llama.build config (fun name -> theta[name])</c>.</param>
    /// <param name="batch">The batch.</param>
    /// <param name="theta">All weights.</param>
    let fullModel (build: Parameters -> Transformer) (batch: Batch) (theta: Parameters) : Tensor =
        let model = build theta
        model |> contextOf batch |> causal (fun _ -> model) batch

    /// <summary>
    /// A loss as a function of one flat vector, for the functions that differentiate:
    /// <c>dsharp.grad (loss batch |> Loss.ofVector theta) theta.Vector</c>.
    /// </summary>
    /// <param name="layout">Names, shapes and constants; its trainable values are not read.</param>
    /// <param name="loss">A function of parameters.</param>
    let ofVector (layout: Parameters) (loss: Parameters -> Tensor) : Tensor -> Tensor = layout.OfVector >> loss
