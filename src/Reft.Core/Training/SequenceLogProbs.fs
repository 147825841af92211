namespace Reft.Core

open TorchSharp

/// <summary>
/// How likely a model finds the scored tokens of rows: log p of each, and their sum in each row, which preferences compare.
/// </summary>
[<RequireQualifiedAccess>]
module SequenceLogProbs =

    /// <summary>The formula as it stands: differentiable to every order, holding all logits at once. [n]</summary>
    /// <param name="head">The head.</param>
    /// <param name="hidden">What it reads, after the final norm. [n, hidden]</param>
    /// <param name="targets">The ids whose probabilities are asked for. [n] int64</param>
    let plain (head: LanguageHead) (hidden: Tensor) (targets: Tensor) : Tensor =
        Scope.run (fun () ->
            let logits = hidden |> LanguageHead.logits head

            (logits.gather (1L, targets.unsqueeze 1L) - logits.logsumexp (1L, true)).squeeze 1L)

    let private fusedDense (head: LanguageHead) (weight: Tensor) (hidden: Tensor) (targets: Tensor) =
        let total = hidden.shape[0]
        let rows = CrossEntropy.chunkRows weight.shape[0]
        let wanted = hidden.requires_grad && torch.is_grad_enabled ()

        if wanted then
            Autograd.firstOrderOnly
                "the fused log-probabilities have a first derivative only: for Hessians and nested gradients use Tuned.smooth, or SequenceLogProbs.plain"

        let values, gradient =
            use _ = torch.no_grad ()
            let hidden = hidden.detach ()
            let values, gradients = ResizeArray<Tensor>(), ResizeArray<Tensor>()

            for start in 0L .. rows .. total - 1L do
                use _ = torch.NewDisposeScope()
                let count = min rows (total - start)

                let struct (losses, gradient) =
                    CrossEntropy.chunkLosses
                        head
                        wanted
                        (hidden.narrow (0L, start, count))
                        (targets.narrow (0L, start, count))

                values.Add(losses.neg().MoveToOuterDisposeScope())

                gradient
                |> Option.iter (fun gradient ->
                    gradients.Add(torch.mm(gradient, weight).neg().MoveToOuterDisposeScope()))

            torch.cat (values, 0L), (if wanted then Some(torch.cat (gradients, 0L)) else None)

        match gradient with
        | None -> values
        | Some gradient ->
            // A term whose value is 0 and whose derivative is the gradient: what is made of the values weighs it.
            values
            .+ ((hidden - hidden.detach ()).``to`` torch.float32 * gradient.``to`` torch.float32).sum(1L)

    /// <summary>
    /// The same values and first derivative with respect to the hidden states, chunk by chunk: the logits of all tokens never
    /// exist at once. A head that is trained itself is left to <see cref="M:Reft.Core.SequenceLogProbs.plain"/>.
    /// </summary>
    /// <param name="head">The head.</param>
    /// <param name="hidden">What it reads, after the final norm. [n, hidden]</param>
    /// <param name="targets">The ids whose probabilities are asked for. [n] int64</param>
    let fused (head: LanguageHead) (hidden: Tensor) (targets: Tensor) : Tensor =
        let trained (x: Tensor) =
            x.requires_grad && torch.is_grad_enabled ()

        match head.Map with
        | { Weight = LinearWeight.Dense map
            Updates = []
            Rescale = None } when not (trained map || head.Map.Bias |> Option.exists trained) ->
            Scope.run (fun () -> fusedDense head map (head.Transform hidden) targets)
        | _ -> plain head hidden targets

    /// <summary>
    /// <see cref="M:Reft.Core.SequenceLogProbs.fused"/> where first derivatives are enough, else
    /// <see cref="M:Reft.Core.SequenceLogProbs.plain"/>.
    /// </summary>
    let ofTokens (kernel: AttentionKernel) (head: LanguageHead) (hidden: Tensor) (targets: Tensor) : Tensor =
        match kernel with
        | AttentionKernel.Fused -> fused head hidden targets
        | AttentionKernel.Plain -> plain head hidden targets

    /// <summary>The numbers of a batch's scored tokens, added up in each row. [scored] → [rows]</summary>
    let sums (batch: Batch) (tokens: Tensor) : Tensor =
        Scope.run (fun () ->
            let rows =
                (torch.tensor (batch.ScoredExamples |> Array.map int64)).``to`` tokens.device

            torch
                .zeros(int64 batch.Examples.Length, dtype = tokens.dtype, device = tokens.device)
                .index_add(0L, rows, tokens, held 1.0f))

    /// <summary>How many tokens of each row are scored. [rows] fp32</summary>
    let counts (device: torch.Device) (batch: Batch) : Tensor =
        let counts = Array.zeroCreate<float32> batch.Examples.Length

        for row in batch.ScoredExamples do
            counts[row] <- counts[row] + 1.0f

        (torch.tensor counts).``to`` device

    /// <summary>log p of each row's scored tokens, from the residual stream after the last block. [rows] fp32</summary>
    /// <exception cref="T:System.ArgumentException">No token of the batch is scored.</exception>
    let ofResidual (batch: Batch) (context: Context) (model: Transformer) (residual: Tensor) : Tensor =
        let head = Transformer.causalHead model

        Scope.run (fun () ->
            let struct (hidden, targets) = residual |> Readout.scored batch model
            ofTokens context.Attention head hidden targets |> sums batch)

    /// <summary>log p of each row's scored tokens, given what is before them. [rows] fp32</summary>
    /// <exception cref="T:System.ArgumentException">No token of the batch is scored.</exception>
    let ofBatch (batch: Batch) (context: Context) (model: Transformer) : Tensor =
        let head = Transformer.causalHead model

        Scope.run (fun () ->
            let struct (hidden, targets) = model |> Loss.scored batch context
            ofTokens context.Attention head hidden targets |> sums batch)
