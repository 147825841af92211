namespace Reft.Core

open TorchSharp

/// <summary>
/// The mean cross-entropy of a language-model head, −(1/n) Σ log softmax(W h + b)[target], over n scored tokens.
/// </summary>
[<RequireQualifiedAccess>]
module CrossEntropy =

    /// Logits are made for this many numbers at a time: small enough to stay near the processor, large enough for its
    /// matrix unit.
    [<Literal>]
    let private ChunkNumbers = 8_388_608L

    /// How many rows the head reads at a time, so that the logits of a long text never exist at once.
    let internal chunkRows (vocabulary: int64) : int64 = max 16L (ChunkNumbers / vocabulary)

    /// <summary>The formula as it stands: differentiable to every order, holding all logits at once.</summary>
    /// <param name="head">The head.</param>
    /// <param name="hidden">What it reads, after the final norm. [n, hidden]</param>
    /// <param name="targets">The ids to predict. [n] int64</param>
    let plain (head: LanguageHead) (hidden: Tensor) (targets: Tensor) : Tensor =
        torch.nn.functional.cross_entropy (hidden |> LanguageHead.logits head, targets)

    /// The loss of each token of one chunk, and the gradients of these losses with respect to the map's output, softmax −
    /// one-hot under the cap's derivative 1 − (logit / c)², in the dtype of hidden, where they are wanted.
    let internal chunkLosses
        (head: LanguageHead)
        (wanted: bool)
        (hidden: Tensor)
        (targets: Tensor)
        : struct (Tensor * Tensor option) =
        let logits = hidden |> LanguageHead.mapped head
        let column = targets.unsqueeze 1L
        let logSum = logits.logsumexp (1L, true)
        let loss = (logSum - logits.gather (1L, column)).squeeze 1L

        if wanted then
            let slope =
                head.Softcap
                |> Option.map (fun cap -> -(squared (logits /. float32 cap)) +. 1.0f)

            // logits is not needed again: its memory becomes the gradient's.
            let gradient = logits.sub_(logSum).exp_()

            gradient.scatter_add_ (1L, column, torch.full_like (column, held (-1.0f), dtype = torch.float32))
            |> ignore

            slope |> Option.iter (fun slope -> gradient.mul_ slope |> ignore)
            struct (loss, Some(gradient.``to`` hidden.dtype))
        else
            struct (loss, None)

    /// x with the gradient g: a term whose value is 0 and whose derivative with respect to x is g.
    let private carry (x: Tensor) (g: Tensor) =
        ((x - x.detach ()).``to`` torch.float32 * g.``to`` torch.float32).sum()

    let private fusedDense (head: LanguageHead) (map: Tensor) (hidden: Tensor) (targets: Tensor) : Tensor =
        let total = hidden.shape[0]
        let rows = chunkRows map.shape[0]
        let weight = map.detach ()

        let wants (x: Tensor) =
            x.requires_grad && torch.is_grad_enabled ()

        let bias = head.Map.Bias |> Option.filter wants
        let trainsHead = wants map
        let wanted = wants hidden || trainsHead || bias.IsSome

        if wanted then
            Autograd.firstOrderOnly
                "the fused loss has a first derivative only: for Hessians and nested gradients use Loss.reftSmooth, or CrossEntropy.plain"

        let frozen =
            { head with
                Map = Linear.dense (head.Map.Bias |> Option.map (fun b -> b.detach ())) weight }

        let sumLike (x: Tensor) =
            torch.zeros (x.shape, dtype = torch.float32, device = x.device)

        let loss, hiddenGradient, weightGradient, biasGradient =
            use _ = torch.no_grad ()
            let hidden = hidden.detach ()
            let loss = torch.zeros (1L, dtype = torch.float32, device = hidden.device)
            let gradients = ResizeArray<Tensor>()

            let weightGradient = if trainsHead then Some(sumLike weight) else None

            let biasGradient = bias |> Option.map sumLike

            for start in 0L .. rows .. total - 1L do
                use _ = torch.NewDisposeScope()
                let count = min rows (total - start)
                let part = hidden.narrow (0L, start, count)

                let struct (chunk, gradient) =
                    chunkLosses frozen wanted part (targets.narrow (0L, start, count))

                chunk.sum () |> addTo loss |> ignore

                gradient
                |> Option.iter (fun gradient ->
                    gradients.Add(torch.mm(gradient, weight).MoveToOuterDisposeScope())

                    weightGradient
                    |> Option.iter (fun sum -> torch.mm (gradient.t (), part) |> addTo sum |> ignore)

                    biasGradient |> Option.iter (fun sum -> gradient.sum 0L |> addTo sum |> ignore))

            // The mean's 1/n is applied to the results, which are much smaller than the logits.
            let mean (sum: Tensor) = sum /. float32 total

            (mean loss).squeeze 0L,
            (if wanted then
                 Some(torch.cat (gradients, 0L) |> mean)
             else
                 None),
            Option.map mean weightGradient,
            Option.map mean biasGradient

        [ Some hidden, hiddenGradient; Some map, weightGradient; bias, biasGradient ]
        |> List.fold
            (fun (sum: Tensor) term ->
                match term with
                | Some x, Some g when x.requires_grad -> sum .+ carry x g
                | _ -> sum)
            loss

    /// <summary>
    /// The same value and first derivative, chunk by chunk: the logits of all tokens never exist at once, and the
    /// backward pass reads gradients that the forward pass has computed. It has no second derivative.
    /// </summary>
    /// <param name="head">The head; its gradient is computed too where it requires one.</param>
    /// <param name="hidden">What it reads, after the final norm. [n, hidden]</param>
    /// <param name="targets">The ids to predict. [n] int64</param>
    let fused (head: LanguageHead) (hidden: Tensor) (targets: Tensor) : Tensor =
        match head.Map with
        | { Weight = LinearWeight.Dense map
            Updates = []
            Rescale = None } -> fusedDense head map (head.Transform hidden) targets
        // Other maps are differentiated by libtorch.
        | _ -> plain head hidden targets

    /// <summary>
    /// <see cref="M:Reft.Core.CrossEntropyModule.fused"/> where first derivatives are enough, else
    /// <see cref="M:Reft.Core.CrossEntropyModule.plain"/>.
    /// </summary>
    let mean (kernel: AttentionKernel) : LanguageHead -> Tensor -> Tensor -> Tensor =
        match kernel with
        | AttentionKernel.Fused -> fused
        | AttentionKernel.Plain -> plain
