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

    /// <summary>The rows after an edit: h + Δ, or h′.</summary>
    let apply (context: Context) (h: Tensor) (edit: Edit) : Tensor =
        match edit with
        | Edit.Delta f -> h + f context h
        | Edit.Replace f -> f context h

    /// <summary>A method of the library or of your own making, without latent rows.</summary>
    let create (form: Form) (init: int -> Rng -> Parameters) (bind: Parameters -> Edit) : Intervention =
        { Form = form
          Init = init
          Bind = bind
          BindRows = None
          Parts = [] }

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
        if String.IsNullOrWhiteSpace name then
            invalidArg (nameof name) "a custom intervention needs a name, by which it is saved and reloaded"

        // A wrong shape would otherwise broadcast silently into h.
        let checkedDelta f context (h: Tensor) =
            let change: Tensor = f context h

            if change.shape <> h.shape then
                let shape (t: Tensor) = String.Join(" × ", t.shape)

                invalidOp
                    $"the intervention '{name}' must return a change of the rows' own shape: expected [{shape h}], found [{shape change}]"

            change

        create (Form.Custom name) init (fun theta -> bind theta |> checkedDelta |> Edit.Delta)

    /// <summary>Δ = 0: neutral for <c>+</c> and <c>>=></c>.</summary>
    let zero: Intervention =
        create Form.Zero (fun _ _ -> Parameters.empty) (fun _ -> Edit.Delta(fun _ h -> torch.zeros_like h))

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

    let private sumEdits (edits: Edit list) =
        match edits |> List.map delta with
        | [] -> Edit.Delta(fun _ h -> torch.zeros_like h)
        | first :: rest ->
            Edit.Delta(fun context h -> rest |> List.fold (fun total f -> total + f context h) (first context h))

    let private chainEdits (edits: Edit list) =
        // A chain stays a change while all its parts are; a replacement anywhere makes it one.
        if edits |> List.forall (fun edit -> edit.IsDelta) then
            let changes = edits |> List.map delta

            Edit.Delta(fun context h ->
                changes
                |> List.fold
                    (fun total change ->
                        match total with
                        | None -> Some(change context h)
                        | Some total -> Some(total + change context (h + total)))
                    (None: Tensor option)
                |> Option.defaultWith (fun () -> torch.zeros_like h))
        else
            Edit.Replace(fun context h -> edits |> List.fold (fun h edit -> apply context h edit) h)

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
            let factor = factor.ToScalar()
            Edit.Delta(fun context h -> (f context h).mul factor)

        { edit with
            Form = Form.Scale(factor, edit.Form)
            Bind = edit.Bind >> times
            BindRows = edit.BindRows |> Option.map (fun bind rows -> bind rows >> times)
            Parts = [] }

    /// <summary>
    /// <c>gate g a</c>: the change of <paramref name="edit"/> times g(h), where the gate is an intervention whose
    /// change is read as a factor for each number of the rows, [n, width].
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
                Edit.Delta(fun context h -> g context h * f context h)
          BindRows = None
          Parts = [] }

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
