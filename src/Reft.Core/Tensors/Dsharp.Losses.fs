namespace Reft.Core

open TorchSharp

/// <summary>Losses: the mean over all elements unless another reduction is given.</summary>
[<AutoOpen>]
module DsharpLosses =

    let private reduced (reduction: torch.nn.Reduction option) =
        defaultArg reduction torch.nn.Reduction.Mean

    let private checkSameShape what (input: Tensor) (target: Tensor) =
        if input.shape <> target.shape then
            invalidArg
                (nameof target)
                $"{what} compares element by element: expected a target of shape {Argument.shapeText input.shape}, found {Argument.shapeText target.shape}"

    type dsharp with

        /// <summary>The squared difference.</summary>
        /// <exception cref="T:System.ArgumentException">The shapes differ (they would broadcast silently).</exception>
        static member mseLoss(input: Tensor, target: Tensor, ?reduction: torch.nn.Reduction) : Tensor =
            checkSameShape "mseLoss" input target
            torch.nn.functional.mse_loss (input, target, reduced reduction)

        /// <summary>The squared difference of the piped tensor from <paramref name="target"/>.</summary>
        /// <exception cref="T:System.ArgumentException">The shapes differ (they would broadcast silently).</exception>
        static member mseLoss(target: Tensor, ?reduction: torch.nn.Reduction) : Tensor -> Tensor =
            fun input -> dsharp.mseLoss (input, target, ?reduction = reduction)

        /// <summary>−(t log p + (1 − t) log(1 − p)) of probabilities p.</summary>
        /// <exception cref="T:System.ArgumentException">The shapes differ.</exception>
        static member bceLoss(input: Tensor, target: Tensor, ?reduction: torch.nn.Reduction) : Tensor =
            checkSameShape "bceLoss" input target
            torch.nn.functional.binary_cross_entropy (input, target, reduction = reduced reduction)

        /// <summary>−(t log p + (1 − t) log(1 − p)) of piped probabilities p.</summary>
        /// <exception cref="T:System.ArgumentException">The shapes differ.</exception>
        static member bceLoss(target: Tensor, ?reduction: torch.nn.Reduction) : Tensor -> Tensor =
            fun input -> dsharp.bceLoss (input, target, ?reduction = reduction)

        /// <summary>The negative log probability of the target class. [n, classes] and int64 [n]</summary>
        static member nllLoss(logProbs: Tensor, target: Tensor, ?reduction: torch.nn.Reduction) : Tensor =
            torch.nn.functional.nll_loss (logProbs, target, reduction = reduced reduction)

        /// <summary>The negative log probability of the target class, of piped log probabilities.</summary>
        static member nllLoss(target: Tensor, ?reduction: torch.nn.Reduction) : Tensor -> Tensor =
            fun logProbs -> dsharp.nllLoss (logProbs, target, ?reduction = reduction)

        /// <summary>
        /// log softmax and negative log likelihood in one. Targets of <paramref name="ignoreIndex"/>, −100 by default, are
        /// not counted. [n, classes] and int64 [n]
        /// </summary>
        static member crossEntropyLoss
            (logits: Tensor, target: Tensor, ?ignoreIndex: int, ?reduction: torch.nn.Reduction)
            : Tensor =
            torch.nn.functional.cross_entropy (
                logits,
                target,
                ignore_index = int64 (defaultArg ignoreIndex -100),
                reduction = reduced reduction
            )

        /// <summary>Cross entropy of piped logits; see the other overload.</summary>
        static member crossEntropyLoss
            (target: Tensor, ?ignoreIndex: int, ?reduction: torch.nn.Reduction)
            : Tensor -> Tensor =
            fun logits -> dsharp.crossEntropyLoss (logits, target, ?ignoreIndex = ignoreIndex, ?reduction = reduction)
