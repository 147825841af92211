namespace Reft.Core

open System
open System.Collections.Generic
open System.Runtime.InteropServices
open System.Threading
open TorchSharp

/// <summary>What a backward pass does with the graph that it walks.</summary>
[<RequireQualifiedAccess>]
type GraphUse =
    /// Frees it: this is the only pass.
    | Free
    /// Keeps it for further passes.
    | Keep
    /// Keeps it and records the pass itself, so that the gradients can be differentiated again.
    | Record

/// How many derivatives are being taken on this thread, one inside the other.
[<AbstractClass; Sealed>]
type private Nesting =
    [<ThreadStatic; DefaultValue>]
    static val mutable private depth: int

    [<ThreadStatic; DefaultValue>]
    static val mutable private firstOrder: string | null

    static member Depth
        with get () = Nesting.depth
        and set value = Nesting.depth <- value

    /// What was computed, within the outermost recording, that has a first derivative only.
    static member FirstOrder
        with get (): string | null = Nesting.firstOrder
        and set (value: string | null) = Nesting.firstOrder <- value

/// libtorch warns, once per process and on stderr, that a recorded pass into `.grad` makes a reference cycle. `Autograd`
/// clears `.grad`, so that the warning would only mislead: the first such pass runs with libtorch's log level at errors.
module private CycleWarning =

    [<Literal>]
    let private Errors = 2

    let private gate = obj ()
    let mutable private given = false

    let private logLevel () =
        let mutable library = 0n
        let mutable address = 0n

        if
            NativeLibrary.TryLoad("libc10.so", &library)
            && NativeLibrary.TryGetExport(library, "FLAGS_caffe2_log_level", &address)
        then
            Some address
        else
            None

    let without (pass: unit -> unit) : unit =
        if Volatile.Read &given then
            pass ()
        else
            lock gate (fun () ->
                match logLevel () with
                | None -> pass ()
                | Some address ->
                    let before = Marshal.ReadInt32 address
                    Marshal.WriteInt32(address, max before Errors)

                    try
                        pass ()
                    finally
                        Marshal.WriteInt32(address, before)

                Volatile.Write(&given, true))

/// <summary>
/// Reverse-mode differentiation over libtorch's tape: the one file that starts backward passes. <c>dsharp.grad</c> and its
/// neighbours are the pleasant way to it; use this one for gradients by several tensors at once, as a trainer does.
/// </summary>
/// <remarks>
/// libtorch's <c>autograd.grad</c> aborts the process on an error, so this runs <c>backward</c> into the <c>.grad</c> of
/// given leaves. A recorded gradient held in <c>.grad</c> is a native reference cycle that no scope frees: it is cleared
/// before and after every pass, exceptions included.
/// </remarks>
[<RequireQualifiedAccess>]
module Autograd =

    let private shapeOf (t: Tensor) =
        String.Join("; ", t.shape) |> sprintf "[%s]"

    /// <summary>A leaf of the graph with the values of a tensor (shared, not copied), by which to differentiate.</summary>
    let variable (x: Tensor) : Tensor =
        Native.load ()

        if not (x.is_floating_point ()) then
            invalidArg
                (nameof x)
                $"only floating-point tensors can be differentiated by: expected such a dtype, found {x.dtype}"

        x.detach().requires_grad_ true

    let private checkInputs (xs: Tensor list) =
        xs
        |> List.iteri (fun i x ->
            if not x.requires_grad then
                invalidArg
                    (nameof xs)
                    $"input {i}, {shapeOf x}, is detached: it does not require a gradient. Make it with Autograd.variable before computing the output"

            if not x.is_leaf then
                invalidArg
                    (nameof xs)
                    $"input {i}, {shapeOf x}, is not a leaf: it was computed from other tensors. Make a leaf of it with Autograd.variable and compute the output from that")

    let private clear (xs: Tensor list) =
        for x in xs do
            x.grad <- null

    /// Called by what has a first derivative only, as it computes: a recorded pass over it, whose own derivative would
    /// silently lack its share, is then refused.
    let internal firstOrderOnly (what: string) =
        if Nesting.Depth > 0 then
            Nesting.FirstOrder <- what

    let private backward graph (y: Tensor) (cotangent: Tensor option) (xs: Tensor list) =
        checkInputs xs

        let firstOrder = Nesting.FirstOrder

        // It is said of the recording that this pass ends, and of none after it.
        if Nesting.Depth = 0 then
            Nesting.FirstOrder <- null

        match firstOrder with
        | null -> ()
        | what when graph = GraphUse.Record -> invalidOp what
        | _ -> ()

        clear xs

        try
            if y.requires_grad then
                let cotangents: IList<Tensor> | null =
                    match cotangent with
                    | Some v -> ResizeArray [ v ]
                    | None -> null

                let record = (graph = GraphUse.Record)
                let keep = Nullable(graph <> GraphUse.Free)

                let pass () =
                    torch.autograd.backward (ResizeArray [ y ], cotangents, keep, record, ResizeArray xs)

                if record then CycleWarning.without pass else pass ()

            xs |> List.map (fun x -> Option.ofObj x.grad)
        finally
            clear xs

    let private checkScalar (y: Tensor) =
        if y.numel () <> 1L then
            invalidArg
                (nameof y)
                $"only a scalar has a gradient: expected an output of one element, found shape {shapeOf y}. Reduce it (sum, mean) or use a Jacobian product"

    let private required (xs: Tensor list) (gradients: Tensor option list) =
        List.zip xs gradients
        |> List.mapi (fun i (x, gradient) ->
            match gradient with
            | Some gradient -> gradient
            | None ->
                invalidArg
                    (nameof xs)
                    $"the output does not depend on input {i}, {shapeOf x}: was it detached, or computed from another tensor?")

    /// <summary>
    /// The products vᵀ·∂y/∂x of a cotangent <paramref name="v"/>, of y's shape, one for each of the leaves
    /// <paramref name="xs"/>; <c>None</c> where y does not depend on x.
    /// </summary>
    /// <exception cref="T:System.ArgumentException">
    /// v and y differ in shape or dtype, or one of the xs is detached or not a leaf.
    /// </exception>
    let tryPullback (graph: GraphUse) (y: Tensor) (v: Tensor) (xs: Tensor list) : Tensor option list =
        if v.shape <> y.shape || v.dtype <> y.dtype then
            invalidArg
                (nameof v)
                $"a cotangent is like the output: expected {y.dtype} {shapeOf y}, found {v.dtype} {shapeOf v}"

        backward graph y (Some v) xs

    /// <summary>
    /// The gradients of the scalar <paramref name="y"/> by the leaves <paramref name="xs"/>, each of its leaf's shape;
    /// <c>None</c> where y does not depend on x.
    /// </summary>
    /// <exception cref="T:System.ArgumentException">y is not a scalar, or one of the xs is detached or not a leaf.</exception>
    let tryGradients (graph: GraphUse) (y: Tensor) (xs: Tensor list) : Tensor option list =
        checkScalar y
        backward graph y None xs

    /// <summary>
    /// The gradients of the scalar <paramref name="y"/> by the leaves <paramref name="xs"/> (see <c>variable</c>), each of
    /// its leaf's shape.
    /// </summary>
    /// <exception cref="T:System.ArgumentException">
    /// y is not a scalar or does not depend on one of the xs, or one of them is detached or not a leaf.
    /// </exception>
    let gradientsWith (graph: GraphUse) (y: Tensor) (xs: Tensor list) : Tensor list =
        tryGradients graph y xs |> required xs

    /// <summary>
    /// The gradients of the scalar <paramref name="y"/> by the leaves <paramref name="xs"/>, as plain numbers; the graph is
    /// freed.
    /// </summary>
    /// <remarks>
    /// Where y may itself take derivatives, compute it within <c>recording</c>; <c>valueAndGradients</c> does.
    /// </remarks>
    /// <exception cref="T:System.ArgumentException">
    /// y is not a scalar or does not depend on one of the xs, or one of them is detached or not a leaf.
    /// </exception>
    let gradients (y: Tensor) (xs: Tensor list) : Tensor list = gradientsWith GraphUse.Free y xs

    /// Whether a derivative is being taken around this call, by which its result must stay differentiable.
    let internal isNested () = Nesting.Depth > 0

    /// <summary>
    /// Runs a computation that <c>gradients</c> will differentiate, with recording on even under <c>no_grad</c>: derivatives
    /// taken inside it (a gradient penalty) record themselves, so that their share of the gradient is not lost.
    /// </summary>
    let recording (body: unit -> 'T) : 'T =
        Native.load ()
        use _ = torch.enable_grad ()

        if Nesting.Depth = 0 then
            Nesting.FirstOrder <- null

        Nesting.Depth <- Nesting.Depth + 1

        try
            try
                body ()
            with _ ->
                Nesting.FirstOrder <- null
                reraise ()
        finally
            Nesting.Depth <- Nesting.Depth - 1

    /// <summary>
    /// The value of a scalar function of several tensors and its gradients, as plain numbers in the caller's scope;
    /// everything else is freed.
    /// </summary>
    /// <exception cref="T:System.ArgumentException">f does not return a scalar, or ignores one of the xs.</exception>
    let valueAndGradients (f: Tensor list -> Tensor) (xs: Tensor list) : Tensor * Tensor list =
        let results =
            Scope.runList (fun () ->
                recording (fun () ->
                    let variables = xs |> List.map variable
                    let y = f variables
                    y.detach () :: gradients y variables))

        List.head results, List.tail results
