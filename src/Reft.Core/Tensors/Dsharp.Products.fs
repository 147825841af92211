namespace Reft.Core

open TorchSharp

/// <summary>
/// Products of matrices and vectors. Shapes and dtypes are checked here, because libtorch's <c>matmul</c> would end the
/// process: this is the one file that calls it.
/// </summary>
[<AutoOpen>]
module DsharpProducts =

    let private describe (t: Tensor) =
        $"{t.dtype} {Argument.shapeText t.shape} on {t.device}"

    let private refuse (what: string) (expected: string) (a: Tensor) (b: Tensor) : unit =
        invalidArg "b" $"{what} expects {expected}: found {describe a} and {describe b}"

    let private checkSameKind what (a: Tensor) (b: Tensor) =
        if a.dtype <> b.dtype || a.device.ToString() <> b.device.ToString() then
            refuse what "operands of one dtype on one device" a b

    /// Whether the batch dimensions, those before the last two, broadcast.
    let private broadcasts (a: int64[]) (b: int64[]) =
        Seq.zip (Seq.rev a |> Seq.skip 2) (Seq.rev b |> Seq.skip 2)
        |> Seq.forall (fun (m, n) -> m = n || m = 1L || n = 1L)

    let private checkMatmul (a: Tensor) (b: Tensor) =
        checkSameKind "matmul" a b
        let left, right = a.shape, b.shape

        if left.Length = 0 || right.Length = 0 then
            refuse "matmul" "operands with at least one dimension" a b

        let inner = right[max 0 (right.Length - 2)]

        if left[left.Length - 1] <> inner then
            refuse "matmul" $"[..., n, k] and [..., k, m], here k = {left[left.Length - 1]} and k = {inner}" a b

        if left.Length > 2 && right.Length > 2 && not (broadcasts left right) then
            refuse "matmul" "batch dimensions that are equal or one" a b

    let private checkRanks what expected (rank: int64) (a: Tensor) (b: Tensor) =
        checkSameKind what a b

        if a.dim () <> rank || b.dim () <> rank then
            refuse what expected a b

    type dsharp with

        /// <summary>
        /// The matrix product [..., n, k] · [..., k, m], batch dimensions broadcast; a vector is a row on the left and a
        /// column on the right.
        /// </summary>
        /// <exception cref="T:System.ArgumentException">Shapes, dtypes or devices do not fit.</exception>
        static member matmul(a: Tensor, b: Tensor) : Tensor =
            checkMatmul a b
            a.matmul b

        /// <summary>The piped tensor times <paramref name="b"/>.</summary>
        /// <exception cref="T:System.ArgumentException">Shapes, dtypes or devices do not fit.</exception>
        static member matmul(b: Tensor) : Tensor -> Tensor = fun a -> dsharp.matmul (a, b)

        /// <summary>The product of two matrices, [n, k] · [k, m].</summary>
        /// <exception cref="T:System.ArgumentException">Shapes, dtypes or devices do not fit.</exception>
        static member mm(a: Tensor, b: Tensor) : Tensor =
            checkRanks "mm" "[n, k] and [k, m]" 2L a b

            if a.shape[1] <> b.shape[0] then
                refuse "mm" "[n, k] and [k, m]" a b

            a.mm b

        /// <summary>The piped matrix times <paramref name="b"/>.</summary>
        /// <exception cref="T:System.ArgumentException">Shapes, dtypes or devices do not fit.</exception>
        static member mm(b: Tensor) : Tensor -> Tensor = fun a -> dsharp.mm (a, b)

        /// <summary>The products of two batches of matrices, [b, n, k] · [b, k, m].</summary>
        /// <exception cref="T:System.ArgumentException">Shapes, dtypes or devices do not fit.</exception>
        static member bmm(a: Tensor, b: Tensor) : Tensor =
            checkRanks "bmm" "[b, n, k] and [b, k, m]" 3L a b

            if a.shape[0] <> b.shape[0] || a.shape[2] <> b.shape[1] then
                refuse "bmm" "[b, n, k] and [b, k, m]" a b

            a.bmm b

        /// <summary>The piped batch of matrices times <paramref name="b"/>.</summary>
        /// <exception cref="T:System.ArgumentException">Shapes, dtypes or devices do not fit.</exception>
        static member bmm(b: Tensor) : Tensor -> Tensor = fun a -> dsharp.bmm (a, b)

        /// <summary>The inner product of two vectors.</summary>
        /// <exception cref="T:System.ArgumentException">Shapes, dtypes or devices do not fit.</exception>
        static member dot(a: Tensor, b: Tensor) : Tensor =
            checkRanks "dot" "two vectors of one length" 1L a b

            if a.shape <> b.shape then
                refuse "dot" "two vectors of one length" a b

            a.dot b

        /// <summary>The inner product of the piped vector and <paramref name="b"/>.</summary>
        /// <exception cref="T:System.ArgumentException">Shapes, dtypes or devices do not fit.</exception>
        static member dot(b: Tensor) : Tensor -> Tensor = fun a -> dsharp.dot (a, b)

        /// <summary>The outer product of two vectors. [n, m]</summary>
        /// <exception cref="T:System.ArgumentException">Ranks, dtypes or devices do not fit.</exception>
        static member outer(a: Tensor, b: Tensor) : Tensor =
            checkRanks "outer" "two vectors" 1L a b
            a.outer b

        /// <summary>The sum of products that an equation names, e.g. <c>"bij,bjk->bik"</c>.</summary>
        /// <exception cref="T:System.Runtime.InteropServices.ExternalException">The equation does not fit the operands.</exception>
        static member einsum(equation: string, operands: seq<Tensor>) : Tensor =
            torch.einsum (equation, Seq.toArray operands)

        /// <summary>The sum of products that an equation names, of piped operands.</summary>
        /// <exception cref="T:System.Runtime.InteropServices.ExternalException">The equation does not fit the operands.</exception>
        static member einsum(equation: string) : #seq<Tensor> -> Tensor =
            fun operands -> dsharp.einsum (equation, operands)
