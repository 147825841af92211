namespace Reft.Core

open TorchSharp

/// The pieces that every derivative is made of: where the graph starts, what leaves it, and single steps of calculus on it.
module internal Derivative =

    let shapeOf (t: Tensor) = Argument.shapeText t.shape

    /// A function's input, as the graph sees it.
    [<NoEquality; NoComparison>]
    type Input =
        {
            /// What the function receives.
            Value: Tensor
            /// The leaf whose gradient is the gradient by the value.
            Leaf: Tensor
            /// Whether results stay differentiable, for a derivative around this one.
            Nested: bool
        }

    /// Inside another derivative the value must stay connected to that one's graph, and a gradient by a tensor that is no
    /// leaf would leave a hook behind. So the value is x .+ leaf, with a leaf of −0.0 (x + −0.0 is x, bit for bit).
    let input (x: Tensor) : Input =
        let nested = Autograd.isNested () || x.requires_grad

        if x.requires_grad then
            let leaf = dsharp.fullLike (x.detach (), -0.0) |> Autograd.variable

            { Value = x .+ leaf
              Leaf = leaf
              Nested = nested }
        else
            let leaf = Autograd.variable x

            { Value = leaf
              Leaf = leaf
              Nested = nested }

    /// Constants made part of the graph of x with a derivative of zero, so that a derivative around this one finds zero
    /// instead of no dependence. The condition is false everywhere, so that no NaN of x gets through.
    let private connect (input: Input) (constant: Tensor) =
        let flat = input.Value.reshape -1L
        let first = flat[0].expand constant.shape

        let never =
            torch.zeros (constant.shape, dtype = torch.ScalarType.Bool, device = constant.device)

        torch.where (never, first.``to`` constant.dtype, constant)

    /// The result, fit to leave: differentiable if there is a derivative around this one, plain numbers otherwise.
    let leave (input: Input) (result: Tensor) : Tensor =
        if not input.Nested then result.detach ()
        elif result.requires_grad then result.alias ()
        else connect input result

    /// The use of the graph for a pass after which only nested derivatives follow.
    let last (input: Input) =
        if input.Nested then GraphUse.Record else GraphUse.Free

    /// The use of the graph for one of several passes.
    let repeated (input: Input) =
        if input.Nested then GraphUse.Record else GraphUse.Keep

    let private zerosFor (x: Tensor) (gradient: Tensor option) =
        gradient |> Option.defaultWith (fun () -> torch.zeros_like (x.detach ()))

    let checkDepends (name: string) (y: Tensor) =
        if not y.requires_grad then
            invalidArg
                "f"
                $"{name}: f's result does not depend on its argument. Was it detached, or computed from another tensor?"

    /// The gradient of a derived scalar: zero where nothing depends on the input any more, as for a linear function's.
    let gradient graph (input: Input) (y: Tensor) : Tensor =
        Autograd.tryGradients graph y [ input.Leaf ] |> List.head |> zerosFor input.Leaf

    /// vᵀ J.
    let pullback graph (input: Input) (y: Tensor) (v: Tensor) : Tensor =
        Autograd.tryPullback graph y v [ input.Leaf ]
        |> List.head
        |> zerosFor input.Leaf

    /// v ↦ J v, by differentiating u ↦ uᵀ J, which is linear in u, once more: forward mode without forward mode.
    let pushforward graph (input: Input) (y: Tensor) : Tensor -> Tensor =
        let u = torch.zeros_like (y.detach ()) |> Autograd.variable
        let uJ = pullback GraphUse.Record input y u

        fun v ->
            if uJ.requires_grad then
                Autograd.tryPullback graph uJ v [ u ] |> List.head |> zerosFor u
            else
                torch.zeros_like (y.detach ())

    /// The derivative of y by a scalar input, of y's shape.
    let byScalar (input: Input) (y: Tensor) : Tensor =
        if not y.requires_grad then
            torch.zeros_like y
        elif y.dim () = 0L then
            gradient GraphUse.Record input y
        else
            pushforward GraphUse.Record input y (torch.ones_like (input.Leaf.detach ()))

    let checkScalarInput (name: string) (x: Tensor) =
        if x.dim () <> 0L then
            invalidArg "x" $"{name} expects a function of a scalar: found an argument of shape {shapeOf x}"

    let checkScalarOutput (name: string) (y: Tensor) =
        if y.dim () <> 0L then
            invalidArg "f" $"{name} expects a scalar-valued function: found a result of shape {shapeOf y}"

    let checkVectors (name: string) (x: Tensor) (y: Tensor) =
        if x.dim () <> 1L || y.dim () <> 1L then
            invalidArg
                "f"
                $"{name} expects a vector-valued function of a vector: found an argument of shape {shapeOf x} and a result of shape {shapeOf y}"

    let checkVector (name: string) (x: Tensor) =
        if x.dim () <> 1L then
            invalidArg "x" $"{name} expects a function of a vector: found an argument of shape {shapeOf x}"

    let checkLike (name: string) (what: string) (like: Tensor) (v: Tensor) =
        if v.shape <> like.shape || v.dtype <> like.dtype then
            invalidArg
                "v"
                $"{name}: v must be like {what}: expected {like.dtype} {shapeOf like}, found {v.dtype} {shapeOf v}"

    let unitVectors (like: Tensor) =
        torch.eye(like.shape[0], dtype = like.dtype, device = like.device).unbind 0L

    let curl (j: Tensor) =
        let at (row: int) (column: int) = j[row, column]
        torch.stack [ at 2 1 - at 1 2; at 0 2 - at 2 0; at 1 0 - at 0 1 ]

    let checkJacobian (name: string) (j: Tensor) =
        if j.shape <> [| 3L; 3L |] then
            invalidArg "f" $"{name} expects a function from three to three dimensions: found a Jacobian of {shapeOf j}"

    let checkSquare (name: string) (j: Tensor) =
        if j.shape[0] <> j.shape[1] then
            invalidArg "f" $"{name} expects as many results as arguments: found a Jacobian of {shapeOf j}"

    /// Calls f on x within one derivative; the body's results leave, everything else is freed.
    let evaluate (name: string) (f: Tensor -> Tensor) (x: Tensor) (body: Input -> Tensor -> Tensor list) : Tensor list =
        Scope.runList (fun () ->
            let input = input x

            Autograd.recording (fun () ->
                let y = f input.Value
                checkDepends name y
                y :: body input y |> List.map (leave input)))

    let pair (results: Tensor list) =
        match results with
        | [ a; b ] -> a, b
        | other -> invalidOp $"expected two results, found {other.Length}"

    let triple (results: Tensor list) =
        match results with
        | [ a; b; c ] -> a, b, c
        | other -> invalidOp $"expected three results, found {other.Length}"

    /// The last of several results; the others are freed.
    let second (results: unit -> Tensor * Tensor) : Tensor = Scope.run (results >> snd)

    let lastTwo (results: unit -> Tensor * Tensor * Tensor) : Tensor * Tensor =
        Scope.run2 (fun () -> let _, b, c = results () in b, c)

    let firstAndLast (results: unit -> Tensor * Tensor * Tensor) : Tensor * Tensor =
        Scope.run2 (fun () -> let a, _, c = results () in a, c)
