namespace Reft.Core

open System
open TorchSharp

/// <summary>How a teacher is followed.</summary>
type DistillationLossOptions =
    {
        /// T, by which the logits of both are divided before their softmax.
        Temperature: float
        /// w: what the teacher counts, 0 … 1; the tokens themselves count 1 − w.
        Weight: float
    }

/// <summary>Whose next-token probabilities are followed. It is not trained.</summary>
[<NoEquality; NoComparison>]
type Teacher =
    {
        /// The context of a batch, and the model in it.
        Attach: Batch -> struct (Context * Transformer)
        /// The row that the teacher reads in place of the student's, e.g. with a longer prompt; <c>None</c> is the same row.
        /// It must score the same tokens.
        View: (Example -> Example) option
    }

/// <summary>
/// Learning from a teacher's next-token probabilities (arXiv 1503.02531): over n scored tokens, the mean of
/// w T² KL(softmax(z_t / T) ‖ softmax(z_s / T)) + (1 − w) (−log softmax(z_s)[target]).
/// </summary>
[<RequireQualifiedAccess>]
module Distillation =

    /// <summary>T = 1, and the teacher alone.</summary>
    let defaults: DistillationLossOptions = { Temperature = 1.0; Weight = 1.0 }

    /// <summary>The options themselves, if they make sense.</summary>
    /// <exception cref="T:System.ArgumentException">T is not a positive number, or w is not in 0 … 1.</exception>
    let check (options: DistillationLossOptions) : DistillationLossOptions =
        if not (options.Temperature > 0.0 && Double.IsFinite options.Temperature) then
            invalidArg (nameof options) $"expected a temperature that is a positive number, found {options.Temperature}"

        if not (options.Weight >= 0.0 && options.Weight <= 1.0) then
            invalidArg (nameof options) $"expected a weight of 0 … 1, found {options.Weight}"

        options

    /// <summary>A model as a teacher, with what is bound to it, if anything.</summary>
    let teacher (bound: BoundReft list) (model: Transformer) : Teacher =
        { Attach =
            fun batch ->
                let context = Batch.context model batch
                struct (context, model |> Reft.attachAll bound context)
          View = None }

    /// <summary>A teacher that reads other rows, e.g. with instructions in the prompt that the student is to do without.</summary>
    /// <param name="view">The student's row → the teacher's, with the same scored tokens.</param>
    /// <param name="teacher">The teacher.</param>
    let seeing (view: Example -> Example) (teacher: Teacher) : Teacher = { teacher with View = Some view }

    /// KL and cross-entropy of each token, from the logits of student and teacher. [n, vocabulary] → [n], [n]
    let private ofLogits (options: DistillationLossOptions) (student: Tensor) (teacher: Tensor) (targets: Tensor) =
        let temperature = float32 options.Temperature
        let logP = (teacher /. temperature).log_softmax 1L
        let logQ = (student /. temperature).log_softmax 1L
        let kl = (logP.exp () * (logP - logQ)).sum(1L)

        let entropy =
            (student.logsumexp (1L, true) - student.gather (1L, targets.unsqueeze 1L)).squeeze(1L)

        struct (kl, entropy)

    let private mixed (options: DistillationLossOptions) (kl: Tensor) (entropy: Tensor) =
        kl *. float32 (options.Weight * options.Temperature * options.Temperature)
        .+ entropy *. float32 (1.0 - options.Weight)

    /// <summary>The formula as it stands: differentiable to every order, holding all logits at once.</summary>
    /// <param name="options">How the teacher is followed.</param>
    /// <param name="teacherHead">The teacher's head.</param>
    /// <param name="head">The student's head.</param>
    /// <param name="teacherHidden">What the teacher's head reads. [n, its hidden]</param>
    /// <param name="hidden">What the student's reads. [n, hidden]</param>
    /// <param name="targets">The tokens themselves. [n] int64</param>
    let plain
        (options: DistillationLossOptions)
        (teacherHead: LanguageHead)
        (head: LanguageHead)
        (teacherHidden: Tensor)
        (hidden: Tensor)
        (targets: Tensor)
        : Tensor =
        Scope.run (fun () ->
            let student = hidden |> LanguageHead.logits head

            let teacher =
                (teacherHidden |> LanguageHead.logits teacherHead).``to``(student.device).detach()

            let struct (kl, entropy) = ofLogits options student teacher targets
            (mixed options kl entropy).mean())

    /// n times the gradient of the mean loss with respect to the map's output: w T (q − p) + (1 − w) (softmax − one-hot), under
    /// the derivative of the student's cap.
    let private slope
        (options: DistillationLossOptions)
        (head: LanguageHead)
        (student: Tensor)
        teacher
        (targets: Tensor)
        =
        let temperature = float32 options.Temperature

        let toTeacher =
            ((student /. temperature).softmax(1L)
             - ((teacher: Tensor) /. temperature).softmax(1L))
            *. (float32 options.Weight * temperature)

        let toToken = student.softmax(1L).mul_(held (float32 (1.0 - options.Weight)))
        let column = targets.unsqueeze 1L

        toToken.scatter_add_ (
            1L,
            column,
            torch.full_like (column, held (float32 (options.Weight - 1.0)), dtype = torch.float32)
        )
        |> ignore

        let gradient = toToken |> addTo toTeacher

        match head.Softcap with
        | Some cap -> gradient * (-(squared (student /. float32 cap)) +. 1.0f)
        | None -> gradient

    let private fusedDense
        options
        teacherHead
        (head: LanguageHead)
        (weight: Tensor)
        (teacherHidden: Tensor)
        hidden
        targets
        =
        let total = (hidden: Tensor).shape[0]
        let rows = CrossEntropy.chunkRows weight.shape[0]
        let wanted = hidden.requires_grad && torch.is_grad_enabled ()

        if wanted then
            Autograd.firstOrderOnly
                "the fused distillation loss has a first derivative only: for Hessians and nested gradients use Tuned.smooth, or Distillation.plain"

        let loss, gradient =
            use _ = torch.no_grad ()
            let hidden = hidden.detach ()
            let loss = torch.zeros (1L, dtype = torch.float32, device = hidden.device)
            let gradients = ResizeArray<Tensor>()

            for start in 0L .. rows .. total - 1L do
                use _ = torch.NewDisposeScope()
                let count = min rows (total - start)
                let part (x: Tensor) = x.narrow (0L, start, count)
                let student = part hidden |> LanguageHead.mapped head

                let teacher =
                    (part teacherHidden |> LanguageHead.logits teacherHead).``to`` student.device

                let struct (kl, entropy) = ofLogits options student teacher (part targets)
                (mixed options kl entropy).sum() |> addTo loss |> ignore

                if wanted then
                    let slope = slope options head student teacher (part targets)
                    gradients.Add(torch.mm(slope.``to`` hidden.dtype, weight).MoveToOuterDisposeScope())

            (loss /. float32 total).squeeze 0L,
            (if wanted then
                 Some(torch.cat (gradients, 0L) /. float32 total)
             else
                 None)

        match gradient with
        | None -> loss
        | Some gradient ->
            loss
            .+ ((hidden - hidden.detach ()).``to`` torch.float32 * gradient.``to`` torch.float32).sum()

    /// <summary>
    /// The same value and first derivative with respect to the hidden states, chunk by chunk: the logits of all tokens never
    /// exist at once, the teacher's no more than the student's. A head that is trained itself is left to
    /// <see cref="M:Reft.Core.Distillation.plain"/>.
    /// </summary>
    /// <param name="options">How the teacher is followed.</param>
    /// <param name="teacherHead">The teacher's head.</param>
    /// <param name="head">The student's head.</param>
    /// <param name="teacherHidden">What the teacher's head reads. [n, its hidden]</param>
    /// <param name="hidden">What the student's reads. [n, hidden]</param>
    /// <param name="targets">The tokens themselves. [n] int64</param>
    let fused
        (options: DistillationLossOptions)
        (teacherHead: LanguageHead)
        (head: LanguageHead)
        (teacherHidden: Tensor)
        (hidden: Tensor)
        (targets: Tensor)
        : Tensor =
        let trained (x: Tensor) =
            x.requires_grad && torch.is_grad_enabled ()

        match head.Map with
        | { Weight = LinearWeight.Dense map
            Updates = []
            Rescale = None } when not (trained map || head.Map.Bias |> Option.exists trained) ->
            Scope.run (fun () -> fusedDense options teacherHead head map teacherHidden (head.Transform hidden) targets)
        | _ -> plain options teacherHead head teacherHidden hidden targets

    let private ofKernel kernel =
        match kernel with
        | AttentionKernel.Fused -> fused
        | AttentionKernel.Plain -> plain

    /// What the teacher's head reads at the scored tokens of a batch. [n, its hidden]
    let private taught (teacher: Teacher) (batch: Batch) : struct (LanguageHead * Tensor) =
        use _ = torch.no_grad ()
        let quiet = { batch with Random = None }

        let seen =
            match teacher.View with
            | None -> quiet
            | Some view ->
                let seen =
                    batch.Examples
                    |> Array.map view
                    |> Array.toList
                    |> Batch.create PaddingSide.Right

                if seen.Targets <> batch.Targets then
                    invalidArg
                        (nameof teacher)
                        $"the teacher's rows must score the same tokens as the student's: expected {batch.Targets.Length} of them, found {seen.Targets.Length} or others"

                seen

        let struct (context, model) = teacher.Attach seen

        struct (Transformer.causalHead model,
                Scope.run (fun () ->
                    let struct (hidden, _) = model |> Loss.scored seen context
                    hidden))

    let private checkVocabulary (student: Transformer) (teacher: LanguageHead) =
        let own = int64 student.Config.Vocabulary

        match teacher.Map.Weight with
        | LinearWeight.Dense weight when weight.shape[0] <> own ->
            invalidArg
                (nameof teacher)
                $"student and teacher must have the same tokens: expected a teacher with a vocabulary of {own}, found {weight.shape[0]}"
        | _ -> ()

    /// <summary>
    /// The mean loss of a batch's scored tokens. It has a first derivative; <see cref="M:Reft.Core.TunedModule.smooth"/> gives all.
    /// </summary>
    /// <exception cref="T:System.ArgumentException">
    /// An option is out of range; the teacher has another vocabulary; or its rows score other tokens.
    /// </exception>
    let loss (options: DistillationLossOptions) (teacher: Teacher) (tuned: Tuned) : Loss =
        let options = check options

        fun batch theta ->
            Scope.run (fun () ->
                let struct (teacherHead, teacherHidden) = taught teacher batch
                let struct (context, model) = tuned |> Tuned.attach batch theta
                checkVocabulary model teacherHead
                let head = Transformer.causalHead model
                let struct (hidden, targets) = model |> Loss.scored batch context

                ofKernel context.Attention options teacherHead head teacherHidden hidden targets)

    /// <summary><see cref="M:Reft.Core.Distillation.loss"/> as what stands on the residual stream, e.g. for <see cref="M:Reft.Core.Recompute.loss"/>.</summary>
    /// <exception cref="T:System.ArgumentException">As of the loss.</exception>
    let readout (options: DistillationLossOptions) (teacher: Teacher) : Readout =
        let options = check options

        fun batch _ context model residual ->
            Scope.run (fun () ->
                let struct (teacherHead, teacherHidden) = taught teacher batch
                checkVocabulary model teacherHead
                let struct (hidden, targets) = residual |> Readout.scored batch model

                ofKernel
                    context.Attention
                    options
                    teacherHead
                    (Transformer.causalHead model)
                    teacherHidden
                    hidden
                    targets)

    /// KL and cross-entropy of each scored token, chunk by chunk.
    let private perToken options teacher tuned (batch: Batch) (theta: Parameters) =
        let struct (teacherHead, teacherHidden) = taught teacher batch
        let struct (context, model) = tuned |> Tuned.attach batch theta
        checkVocabulary model teacherHead
        let head = Transformer.causalHead model
        let struct (hidden, targets) = model |> Loss.scored batch context
        let rows = CrossEntropy.chunkRows (int64 model.Config.Vocabulary)

        let parts =
            [ for start in 0L .. rows .. hidden.shape[0] - 1L do
                  let part (x: Tensor) =
                      x.narrow (0L, start, min rows (hidden.shape[0] - start))

                  Scope.run2 (fun () ->
                      let student = part hidden |> LanguageHead.logits head

                      let teacher =
                          (part teacherHidden |> LanguageHead.logits teacherHead).``to`` student.device

                      let struct (kl, entropy) = ofLogits options student teacher (part targets)
                      kl, entropy) ]

        struct (torch.cat (parts |> List.map fst |> ResizeArray, 0L),
                torch.cat (parts |> List.map snd |> ResizeArray, 0L))

    /// <summary>
    /// How near the student is to its teacher, without gradients: <c>loss</c>, <c>kl</c> (at temperature T) and <c>language</c>
    /// (the loss of the tokens themselves), each a mean over scored tokens.
    /// </summary>
    /// <exception cref="T:System.ArgumentException">As of the loss; or there are no scored tokens.</exception>
    let metrics
        (options: DistillationLossOptions)
        (teacher: Teacher)
        (tuned: Tuned)
        (batches: Batch seq)
        (theta: Parameters)
        : Metrics =
        let options = check options

        batches
        |> Seq.filter (fun batch -> batch.Terms > 0)
        |> TermMetrics.mean (fun batch ->
            let struct (kl, entropy) = perToken options teacher tuned batch theta
            [ "loss", mixed options kl entropy; "kl", kl; "language", entropy ])
