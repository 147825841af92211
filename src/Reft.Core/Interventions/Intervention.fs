namespace Reft.Core

open System
open TorchSharp

/// <summary>An edit of rows, with its parameters bound. Rows are fp32, [n, width]; so is what it returns.</summary>
[<RequireQualifiedAccess; NoEquality; NoComparison>]
type Edit =
    /// The change Δ of the rows: they become h + Δ.
    | Delta of (Context -> Tensor -> Tensor)
    /// The new rows h′ themselves, for edits that must be exact: in bf16, h + (s − h) ≠ s.
    | Replace of (Context -> Tensor -> Tensor)

/// <summary>
/// A learnt change of rows of hidden states, h ↦ h + Δ(θ, context, h), as a pure function of its parameters. Where in a
/// model it acts is <see cref="T:Reft.Core.Placement"/>, never part of it.
/// </summary>
[<NoEquality; NoComparison>]
type Intervention =
    {
        /// What it is, as data.
        Form: Form
        /// Width of the rows → fresh parameters θ.
        Init: int -> Rng -> Parameters
        /// θ → the edit. Runs once per step: what does not depend on the rows (orthonormal maps, fused weights) is
        /// computed here and serves every position.
        Bind: Parameters -> Edit
        /// The same with only some latent rows acting, for methods that have latent rows.
        BindRows: (int list -> Parameters -> Edit) option
        /// The parts of a sum or a chain, so that longer ones stay flat; empty otherwise.
        Parts: Intervention list
    }

/// <summary>
/// The algebra of interventions. <c>Syntax</c> has the same as operators: <c>a + b</c>, <c>k * a</c>, <c>a >=> b</c>.
/// </summary>
[<RequireQualifiedAccess>]
module Intervention =

    let private delta edit =
        match edit with
        | Edit.Delta f -> f
        | Edit.Replace f -> fun context h -> f context h - h

    let private shape (t: Tensor) = "[" + String.Join(" × ", t.shape) + "]"

    /// A wrong shape would broadcast silently into h.
    let private refuseShape (h: Tensor) (result: Tensor) =
        if result.dim () <> h.dim () || result.shape <> h.shape then
            invalidOp $"an edit must keep the rows' shape: expected {shape h}, found {shape result}"

        result

    /// <summary>The rows after an edit: h + Δ, or h′.</summary>
    /// <exception cref="T:System.InvalidOperationException">The edit gives rows of another shape.</exception>
    let apply (context: Context) (h: Tensor) (edit: Edit) : Tensor =
        match edit with
        | Edit.Delta f -> h .+ (f context h |> refuseShape h)
        | Edit.Replace f -> f context h |> refuseShape h

    /// <summary>A method of the library or of your own making, without latent rows.</summary>
    let create (form: Form) (init: int -> Rng -> Parameters) (bind: Parameters -> Edit) : Intervention =
        { Form = form
          Init = init
          Bind = bind
          BindRows = None
          Parts = [] }

    let private named (name: string) =
        if String.IsNullOrWhiteSpace name then
            invalidArg (nameof name) "a custom intervention needs a name, by which it is saved and reloaded"

    /// What a custom function gives: its shape must be the rows', and where its parameters are trained it must depend on
    /// them.
    let private refuseCustom (name: string) (what: string) (theta: Parameters) (h: Tensor) (result: Tensor) =
        if result.dim () <> h.dim () || result.shape <> h.shape then
            invalidOp
                $"the intervention '{name}' must return {what} of their own shape: expected {shape h}, found {shape result}"

        let trained =
            torch.is_grad_enabled ()
            && theta.Entries |> Seq.exists (fun p -> p.IsTrainable && p.Value.requires_grad)

        if trained && not result.requires_grad then
            invalidOp
                $"the intervention '{name}' must return {what} that depends on its parameters by differentiable operations: expected a result with a gradient, found one that is detached (detach(), no_grad(), item() or data in between)"

        result

    /// <summary>
    /// Your own intervention. <paramref name="bind"/> gives the change Δ of the rows; it is saved by its name and
    /// parameters and reloads through a registry that knows the name.
    /// </summary>
    /// <param name="name">Lower-case letters, digits and dashes; unique among your interventions.</param>
    /// <param name="init">Width of the rows → fresh parameters.</param>
    /// <param name="bind">Parameters → context → rows [n, width] → Δ [n, width].</param>
    let define
        (name: string)
        (init: int -> Rng -> Parameters)
        (bind: Parameters -> Context -> Tensor -> Tensor)
        : Intervention =
        named name

        create (Form.Custom name) init (fun theta ->
            let change = bind theta

            Edit.Delta(fun context h -> change context h |> refuseCustom name "a change of the rows" theta h))

    /// <summary>
    /// <see cref="M:Reft.Core.InterventionModule.define"/> for an intervention that gives the new rows h′ themselves, so
    /// that they are exact in every dtype.
    /// </summary>
    /// <param name="name">Lower-case letters, digits and dashes; unique among your interventions.</param>
    /// <param name="init">Width of the rows → fresh parameters.</param>
    /// <param name="bind">Parameters → context → rows [n, width] → new rows [n, width].</param>
    let defineReplacement
        (name: string)
        (init: int -> Rng -> Parameters)
        (bind: Parameters -> Context -> Tensor -> Tensor)
        : Intervention =
        named name

        create (Form.Custom name) init (fun theta ->
            let replacement = bind theta
            Edit.Replace(fun context h -> replacement context h |> refuseCustom name "rows" theta h))

    /// <summary>Δ = 0: neutral for <c>+</c> and <c>>=></c>.</summary>
    let zero: Intervention =
        create Form.Zero (fun _ _ -> Parameters.empty) (fun _ -> Edit.Delta(fun _ h -> torch.zeros_like h))

    /// <summary>
    /// Any function of the rows, h ↦ h′, without parameters. It replaces the rows, so that it is exact; saved by its name.
    /// </summary>
    /// <param name="name">Lower-case letters, digits and dashes; unique among your interventions.</param>
    /// <param name="f">Rows [n, width], fp32 → new rows [n, width].</param>
    let ofFunction (name: string) (f: Tensor -> Tensor) : Intervention =
        named name

        let replacement (h: Tensor) =
            let result = f h |> refuseCustom name "rows" Parameters.empty h

            if torch.is_grad_enabled () && h.requires_grad && not result.requires_grad then
                invalidOp
                    $"the intervention '{name}' must return rows that depend on the rows it is given by differentiable operations: expected a result with a gradient, found one that is detached. If a constant is meant, return h * 0 + constant"

            result

        create (Form.Custom name) (fun _ _ -> Parameters.empty) (fun _ -> Edit.Replace(fun _ h -> replacement h))

    /// The parts of a flattened combination, each with its parameters under its number.
    let private combine (toForm: Form list -> Form) (run: Edit list -> Edit) (parts: Intervention list) : Intervention =
        { Form = toForm (parts |> List.map (fun part -> part.Form))
          Init =
            fun width rng ->
                parts
                |> List.mapi (fun i part -> part.Init width (Rng.fork i rng) |> Parameters.prefixed (string i))
                |> Parameters.concat
          Bind = fun theta -> parts |> List.mapi (fun i part -> part.Bind(theta.Sub(string i))) |> run
          BindRows = None
          Parts = parts }

    /// A gate among edits would broadcast silently; a sum of gates is a gate.
    let private refusePart (index: int) (first: Tensor) (part: Tensor) =
        if part.dim () <> first.dim () || part.shape <> first.shape then
            invalidOp
                $"the parts of a sum must have one shape: expected {shape first} as in part 0, found {shape part} in part {index}. A gate is a factor of an edit: use Intervention.gate"

        part

    let private sumEdits (edits: Edit list) =
        match edits |> List.map delta |> List.indexed with
        | [] -> Edit.Delta(fun _ h -> torch.zeros_like h)
        | (_, first) :: rest ->
            Edit.Delta(fun context h ->
                rest
                |> List.fold
                    (fun total (i, f) -> total .+ (f (Context.forPart i context) h |> refusePart i total))
                    (first (Context.forPart 0 context) h))

    let private chainEdits (edits: Edit list) =
        // A chain stays a change while all its parts are; a replacement anywhere makes it one.
        if edits |> List.forall (fun edit -> edit.IsDelta) then
            let changes = edits |> List.map delta

            Edit.Delta(fun context h ->
                changes
                |> List.indexed
                |> List.fold
                    (fun total (i, change) ->
                        let context = Context.forPart i context

                        match total with
                        | None -> Some(change context h |> refuseShape h)
                        | Some total -> Some(total .+ (change context (h .+ total) |> refuseShape h)))
                    (None: Tensor option)
                |> Option.defaultWith (fun () -> torch.zeros_like h))
        else
            Edit.Replace(fun context h ->
                edits
                |> List.indexed
                |> List.fold (fun h (i, edit) -> apply (Context.forPart i context) h edit) h)

    let private partsOf isSame (part: Intervention) =
        if isSame part.Form then part.Parts else [ part ]

    let private associative (isSame: Form -> bool) toForm run (a: Intervention) (b: Intervention) =
        match a.Form, b.Form with
        | Form.Zero, _ -> b
        | _, Form.Zero -> a
        | _ -> partsOf isSame a @ partsOf isSame b |> combine toForm run

    /// <summary><c>a + b</c>: both read the same h; their changes add up. Associative and commutative.</summary>
    let add (a: Intervention) (b: Intervention) : Intervention =
        associative (fun form -> form.IsSum) Form.Sum sumEdits a b

    /// <summary><c>a >=> b</c>: <paramref name="b"/> sees h with the change of <paramref name="a"/>. Associative.</summary>
    let andThen (b: Intervention) (a: Intervention) : Intervention =
        associative (fun form -> form.IsThen) Form.Then chainEdits a b

    /// <summary><c>k * a</c>: the change times a number; −1 negates it, 0 switches it off.</summary>
    let scale (factor: float) (edit: Intervention) : Intervention =
        let times edit =
            let f = delta edit
            Edit.Delta(fun context h -> f context h *. factor)

        { edit with
            Form = Form.Scale(factor, edit.Form)
            Bind = edit.Bind >> times
            BindRows = edit.BindRows |> Option.map (fun bind rows -> bind rows >> times)
            Parts = [] }

    /// <summary>
    /// <c>gate g a</c>: the change of <paramref name="edit"/> times g(h), where the gate is an intervention whose
    /// change is read as a factor: one for each row, [n, 1], or one for each number of the rows, [n, width].
    /// </summary>
    let gate (factor: Intervention) (edit: Intervention) : Intervention =
        { Form = Form.Gate(factor.Form, edit.Form)
          Init =
            fun width rng ->
                Parameters.concat
                    [ factor.Init width (Rng.fork 0 rng) |> Parameters.prefixed "gate"
                      edit.Init width (Rng.fork 1 rng) |> Parameters.prefixed "edit" ]
          Bind =
            fun theta ->
                let g = factor.Bind(theta.Sub "gate") |> delta
                let f = edit.Bind(theta.Sub "edit") |> delta

                Edit.Delta(fun context h ->
                    let factor = g (Context.forPart 0 context) h
                    let change = f (Context.forPart 1 context) h

                    // Of a gated gate the change is a factor itself.
                    if
                        factor.dim () <> change.dim ()
                        || factor.shape <> change.shape && factor.shape <> [| h.shape[0]; 1L |]
                    then
                        invalidOp
                            $"a gate must give one factor for each row or for each number: expected [{h.shape[0]} × 1] or {shape change}, found {shape factor}"

                    factor * change)
          BindRows = None
          Parts = [] }

    let private checkRate (rate: float) =
        if not (rate >= 0.0 && rate < 1.0) then
            invalidArg (nameof rate) $"expected a dropout rate of 0 … 1 (1 excluded), found {rate}"

    /// Ones and zeros over 1 − rate, drawn from the context's random state; nothing where there is none.
    let private mask (rate: float) (context: Context) (like: Tensor) =
        context.Random
        |> Option.map (fun rng ->
            let keep = (Rng.uniform 0.0 1.0 (List.ofArray like.shape) rng).ge(held rate)
            keep.``to`` (like.dtype, like.device) /. float32 (1.0 - rate))

    let private dropped rate ofOutput (edit: Edit) =
        let thin context (x: Tensor) =
            match mask rate context x with
            | Some mask -> x * mask
            | None -> x

        if ofOutput then
            Edit.Replace(fun context h -> apply (Context.forPart 0 context) h edit |> thin (Context.forPart 1 context))
        else
            let f = delta edit
            Edit.Delta(fun context h -> f (Context.forPart 0 context) h |> thin (Context.forPart 1 context))

    let private withDropout rate ofOutput (edit: Intervention) =
        checkRate rate

        if rate = 0.0 then
            edit
        else
            { edit with
                Form = Form.Dropout(rate, ofOutput, edit.Form)
                Bind = edit.Bind >> dropped rate ofOutput
                BindRows =
                    edit.BindRows
                    |> Option.map (fun bind rows -> bind rows >> dropped rate ofOutput)
                Parts = [] }

    /// <summary>
    /// In training, each number of the <i>change</i> is dropped with probability <paramref name="rate"/>, and those kept
    /// grow by 1/(1 − rate). The hidden state itself is never dropped.
    /// </summary>
    /// <exception cref="T:System.ArgumentException">The rate is not in [0, 1).</exception>
    let dropout (rate: float) (edit: Intervention) : Intervention = withDropout rate false edit

    /// <summary>
    /// In training, each number of the <i>output</i> h′ = h + Δ is dropped, as pyreft does: the paper's dropout rates were
    /// tuned so.
    /// </summary>
    /// <exception cref="T:System.ArgumentException">The rate is not in [0, 1).</exception>
    let dropoutOutput (rate: float) (edit: Intervention) : Intervention = withDropout rate true edit

    /// <summary>
    /// <c>onSubspace rows a</c>: only some latent rows of <paramref name="edit"/> act. The changes of the parts of a
    /// partition add up to the whole change.
    /// </summary>
    /// <exception cref="T:System.ArgumentException">The intervention has no latent rows, or a row is negative or named twice.</exception>
    let onSubspace (rows: int list) (edit: Intervention) : Intervention =
        if rows |> List.exists (fun row -> row < 0) || List.distinct rows <> rows then
            invalidArg (nameof rows) $"expected distinct rows ≥ 0, found %A{rows}"

        match edit.BindRows with
        | None -> invalidArg (nameof edit) $"{edit.Form} has no latent rows to choose from: use it on a low-rank method"
        | Some bind ->
            { edit with
                Form = Form.Subspace(rows, edit.Form)
                Bind = bind rows
                BindRows = None
                Parts = [] }

type Intervention with

    /// <summary>Both read the same h; their changes add up. The same as <c>Intervention.add</c>.</summary>
    static member (+)(a: Intervention, b: Intervention) : Intervention = Intervention.add a b

    /// <summary>The change times a number. The same as <c>Intervention.scale</c>.</summary>
    static member (*)(factor: float, edit: Intervention) : Intervention = Intervention.scale factor edit
