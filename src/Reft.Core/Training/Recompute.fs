namespace Reft.Core

open TorchSharp

/// <summary>
/// Losses whose backward pass computes the activations of each few blocks again, instead of keeping those of all (Chen et al.,
/// arXiv 1604.06174): between the passes there is one residual stream for each group of blocks. Value and gradients are those
/// of the loss itself, since blocks and noise are functions of their arguments; a step takes one more forward pass.
/// </summary>
[<RequireQualifiedAccess>]
module Recompute =

    /// Blocks first … first + count − 1, run from the residual stream before them.
    let private run (context: Context) (model: Transformer) (struct (first, count)) (h: Tensor) : Tensor =
        Scope.run (fun () ->
            Seq.init count (fun i -> first + i)
            |> Seq.fold (fun h layer -> model.Blocks[layer] model.Taps[layer] context h) h)

    /// The value, and ∂value/∂x for the leaves xs that theta has for its trained entries.
    let private valueAndGradients every (readout: Readout) tuned batch (theta: Parameters) (xs: Tensor list) =
        let struct (context, model) = tuned |> Tuned.attach batch theta
        let layers = model.Blocks.Length

        let groups =
            [ for first in 0..every .. layers - 1 -> struct (first, min every (layers - first)) ]

        let embedded = model.Embed context (Batch.ids model.Device batch)
        // Groups that depend on what is trained, the last first, with the leaf that each began from.
        let mutable visited: (struct (int * int) * Tensor) list = []
        let mutable stream = embedded.detach ()
        let mutable depends = embedded.requires_grad
        let mutable top: Tensor option = None

        for group in groups do
            let leaf =
                if depends then
                    Autograd.variable stream
                else
                    stream.detach ()
            // With the graph, which is freed at once: without one bf16 attention would run another kernel, so that the
            // second pass would not see what the first saw.
            let output = run context model group leaf

            // Blocks that a prefix cache has replaced give back what they are given.
            if not (obj.ReferenceEquals(output, leaf)) then
                top |> Option.iter (fun earlier -> earlier.Dispose())
                depends <- output.requires_grad
                stream <- output.detach ()
                top <- Some output

                if depends then
                    visited <- (group, leaf) :: visited

        let last = if depends then Autograd.variable stream else stream
        let value = readout batch theta context model last

        let sums: Tensor option[] = Array.create xs.Length None

        let accumulate gradients =
            gradients
            |> List.iteri (fun i gradient ->
                match sums[i], gradient with
                | None, Some g -> sums[i] <- Some g
                | Some sum, Some g -> sums[i] <- Some(sum .+ g)
                | _, None -> ())

        /// The gradient by the leaf; those by theta are added up. Graphs of what binding computed serve several passes.
        let pull (pass: Tensor list -> Tensor option list) (leaf: Tensor) =
            if leaf.requires_grad then
                let gradients = pass (leaf :: xs)
                accumulate (List.tail gradients)
                List.head gradients
            else
                accumulate (pass xs)
                None

        if value.requires_grad then
            let mutable cotangent = pull (Autograd.tryGradients GraphUse.Keep value) last
            let mutable kept = top

            for group, leaf in visited do
                match cotangent with
                | None -> ()
                | Some v ->
                    let output =
                        match kept with
                        | Some output -> output
                        | None -> run context model group leaf

                    cotangent <- pull (Autograd.tryPullback GraphUse.Keep output v) leaf
                    output.Dispose()

                kept <- None

            match cotangent with
            | Some v when embedded.requires_grad ->
                pull (Autograd.tryPullback GraphUse.Keep embedded v) stream |> ignore
            | _ -> ()

        value.detach (), List.ofArray sums

    /// A term whose value is 0 and whose derivative with respect to x is g.
    let private carry (x: Tensor) (g: Tensor) =
        let product = x.reshape(-1L).dot(g.reshape -1L)
        product - product.detach ()

    /// <summary>
    /// What a readout makes of a model, with the activations of each <paramref name="every"/> blocks computed again in the
    /// backward pass. It has a first derivative only.
    /// </summary>
    /// <param name="every">Blocks of a group: 1 keeps least; as many as the model has keep all.</param>
    /// <param name="readout">What is computed from the residual stream after the last block.</param>
    /// <param name="tuned">What is trained.</param>
    /// <exception cref="T:System.ArgumentException"><paramref name="every"/> is not positive.</exception>
    let loss (every: int) (readout: Readout) (tuned: Tuned) : Loss =
        if every < 1 then
            invalidArg (nameof every) $"expected groups of 1 block or more, found {every}"

        fun batch theta ->
            let trained =
                theta.Entries |> Seq.filter (fun p -> p.Value.requires_grad) |> Seq.toList

            if trained.IsEmpty || not (torch.is_grad_enabled ()) then
                Loss.ofReadout readout tuned batch theta
            else
                Autograd.firstOrderOnly
                    "a loss that recomputes activations has a first derivative only: for Hessians and nested gradients leave recomputation away"

                let leaves =
                    theta
                    |> Parameters.map (fun value ->
                        if value.requires_grad then
                            Autograd.variable value
                        else
                            value)

                Scope.run (fun () ->
                    let value, gradients =
                        [ for p in trained -> leaves[p.Name] ]
                        |> valueAndGradients every readout tuned batch leaves

                    (value, List.zip trained gradients)
                    ||> List.fold (fun sum (p, gradient) ->
                        match gradient with
                        | Some g -> sum .+ carry p.Value g
                        | None -> sum))

    /// <summary><see cref="M:Reft.Core.LossModule.language"/> with activations that are computed again.</summary>
    let language (every: int) (tuned: Tuned) : Loss = loss every Readout.language tuned

    /// <summary><see cref="M:Reft.Core.LossModule.sequence"/> with activations that are computed again.</summary>
    let sequence (every: int) (classifier: Classifier) (tuned: Tuned) : Loss =
        loss every (Readout.sequence classifier) tuned
