namespace Reft.Core

open System
open TorchSharp

/// <summary>Shapes: views, joins, cuts and selections.</summary>
[<AutoOpen>]
module DsharpShape =

    type dsharp with

        /// <summary>The same elements in another shape, without a copy; −1 stands for what is left.</summary>
        static member view(x: Tensor, shape: seq<int>) : Tensor = x.view (Argument.sizes shape)

        /// <summary>The same elements as a vector of <paramref name="length"/>, −1 for all, without a copy.</summary>
        static member view(x: Tensor, length: int) : Tensor = x.view (int64 length)

        /// <summary>The same elements in another shape, without a copy; −1 stands for what is left.</summary>
        static member view(shape: seq<int>) : Tensor -> Tensor = fun x -> dsharp.view (x, shape)

        /// <summary>The same elements as a vector, without a copy; −1 for all.</summary>
        static member view(length: int) : Tensor -> Tensor = fun x -> dsharp.view (x, length)

        /// <summary>The elements of <paramref name="x"/> in the shape of another tensor.</summary>
        static member viewAs(x: Tensor, other: Tensor) : Tensor = x.view other.shape

        /// <summary>The elements of a tensor in the shape of <paramref name="other"/>.</summary>
        static member viewAs(other: Tensor) : Tensor -> Tensor = fun x -> dsharp.viewAs (x, other)

        /// <summary>The same elements in another shape, copied only where they must be.</summary>
        static member reshape(x: Tensor, shape: seq<int>) : Tensor = x.reshape (Argument.sizes shape)

        /// <summary>The same elements in another shape, copied only where they must be.</summary>
        static member reshape(shape: seq<int>) : Tensor -> Tensor = fun x -> dsharp.reshape (x, shape)

        /// <summary>Several dimensions made one, all by default.</summary>
        static member flatten(x: Tensor, ?startDim: int, ?endDim: int) : Tensor =
            x.flatten (int64 (defaultArg startDim 0), int64 (defaultArg endDim -1))

        /// <summary>Dimensions from <paramref name="startDim"/> on made one.</summary>
        static member flatten(startDim: int, ?endDim: int) : Tensor -> Tensor =
            fun x -> dsharp.flatten (x, startDim, ?endDim = endDim)

        /// <summary>The transpose of a matrix.</summary>
        /// <exception cref="T:System.ArgumentException">The tensor is not a matrix.</exception>
        static member transpose(x: Tensor) : Tensor =
            if x.dim () <> 2L then
                invalidArg
                    (nameof x)
                    $"expected a matrix, found shape {Argument.shapeText x.shape}: name the two dimensions to swap"

            x.transpose (0L, 1L)

        /// <summary>Two dimensions swapped.</summary>
        static member transpose(x: Tensor, dim0: int, dim1: int) : Tensor = x.transpose (int64 dim0, int64 dim1)

        /// <summary>Two dimensions swapped.</summary>
        static member transpose(dim0: int, dim1: int) : Tensor -> Tensor =
            fun x -> dsharp.transpose (x, dim0, dim1)

        /// <summary>The dimensions in another order.</summary>
        static member permute(x: Tensor, dims: seq<int>) : Tensor = x.permute (Argument.sizes dims)

        /// <summary>The dimensions in another order.</summary>
        static member permute(dims: seq<int>) : Tensor -> Tensor = fun x -> dsharp.permute (x, dims)

        /// <summary>Without the dimensions of size one.</summary>
        static member squeeze(x: Tensor) : Tensor = x.squeeze ()

        /// <summary>Without one dimension, if its size is one.</summary>
        static member squeeze(x: Tensor, dim: int) : Tensor = x.squeeze (Nullable(int64 dim))

        /// <summary>Without one dimension, if its size is one.</summary>
        static member squeeze(dim: int) : Tensor -> Tensor = fun x -> dsharp.squeeze (x, dim)

        /// <summary>With a new dimension of size one.</summary>
        static member unsqueeze(x: Tensor, dim: int) : Tensor = x.unsqueeze (int64 dim)

        /// <summary>With a new dimension of size one.</summary>
        static member unsqueeze(dim: int) : Tensor -> Tensor = fun x -> dsharp.unsqueeze (x, dim)

        /// <summary>Repeated along dimensions of size one, without a copy; −1 keeps a dimension.</summary>
        static member expand(x: Tensor, shape: seq<int>) : Tensor = x.expand (Argument.sizes shape)

        /// <summary>Repeated along dimensions of size one, without a copy; −1 keeps a dimension.</summary>
        static member expand(shape: seq<int>) : Tensor -> Tensor = fun x -> dsharp.expand (x, shape)

        /// <summary><paramref name="x"/> expanded to the shape of another tensor.</summary>
        static member expandAs(x: Tensor, other: Tensor) : Tensor = x.expand other.shape

        /// <summary>Expanded to the shape of <paramref name="other"/>.</summary>
        static member expandAs(other: Tensor) : Tensor -> Tensor = fun x -> dsharp.expandAs (x, other)

        /// <summary>Copies along one dimension.</summary>
        static member repeat(x: Tensor, dim: int, times: int) : Tensor =
            let rank = int (x.dim ())
            let dim = if dim < 0 then dim + rank else dim
            x.repeat (Array.init rank (fun i -> if i = dim then int64 times else 1L))

        /// <summary>Copies along one dimension.</summary>
        static member repeat(dim: int, times: int) : Tensor -> Tensor = fun x -> dsharp.repeat (x, dim, times)

        /// <summary>Reversed along dimensions.</summary>
        static member flip(x: Tensor, dims: seq<int>) : Tensor = x.flip (Argument.sizes dims)

        /// <summary>Reversed along dimensions.</summary>
        static member flip(dims: seq<int>) : Tensor -> Tensor = fun x -> dsharp.flip (x, dims)

        /// <summary>Tensors joined along an existing dimension, 0 by default.</summary>
        static member cat(tensors: seq<Tensor>, ?dim: int) : Tensor =
            torch.cat (ResizeArray tensors, int64 (defaultArg dim 0))

        /// <summary>Tensors joined along an existing dimension.</summary>
        static member cat(dim: int) : #seq<Tensor> -> Tensor =
            fun tensors -> dsharp.cat (tensors, dim)

        /// <summary>Tensors of one shape joined along a new dimension, 0 by default.</summary>
        static member stack(tensors: seq<Tensor>, ?dim: int) : Tensor =
            torch.stack (tensors, int64 (defaultArg dim 0))

        /// <summary>Tensors of one shape joined along a new dimension.</summary>
        static member stack(dim: int) : #seq<Tensor> -> Tensor =
            fun tensors -> dsharp.stack (tensors, dim)

        /// <summary>The slices along a dimension, 0 by default.</summary>
        static member unstack(x: Tensor, ?dim: int) : Tensor list =
            x.unbind (int64 (defaultArg dim 0)) |> Array.toList

        /// <summary>The slices along a dimension.</summary>
        static member unstack(dim: int) : Tensor -> Tensor list = fun x -> dsharp.unstack (x, dim)

        /// <summary>Cut into parts of the given sizes along a dimension, 0 by default.</summary>
        static member split(x: Tensor, sizes: seq<int>, ?dim: int) : Tensor list =
            x.split (Argument.sizes sizes, int64 (defaultArg dim 0)) |> Array.toList

        /// <summary>Cut into parts of the given sizes along a dimension, 0 by default.</summary>
        static member split(sizes: seq<int>, ?dim: int) : Tensor -> Tensor list =
            fun x -> dsharp.split (x, sizes, ?dim = dim)

        /// <summary><paramref name="length"/> slices from <paramref name="start"/> on, without a copy.</summary>
        static member narrow(x: Tensor, dim: int, start: int, length: int) : Tensor =
            x.narrow (int64 dim, int64 start, int64 length)

        /// <summary><paramref name="length"/> slices from <paramref name="start"/> on, without a copy.</summary>
        static member narrow(dim: int, start: int, length: int) : Tensor -> Tensor =
            fun x -> dsharp.narrow (x, dim, start, length)

        /// <summary>Every <paramref name="step"/>-th slice from start up to but without stop, without a copy.</summary>
        static member slice(x: Tensor, dim: int, start: int, stop: int, ?step: int) : Tensor =
            x.slice (int64 dim, int64 start, int64 stop, int64 (defaultArg step 1))

        /// <summary>Every <paramref name="step"/>-th slice from start up to but without stop, without a copy.</summary>
        static member slice(dim: int, start: int, stop: int, ?step: int) : Tensor -> Tensor =
            fun x -> dsharp.slice (x, dim, start, stop, ?step = step)

        /// <summary>One element for each index: out[i, j] = x[i, indices[i, j]] along dimension 1, and so on.</summary>
        static member gather(x: Tensor, dim: int, indices: Tensor) : Tensor = x.gather (int64 dim, indices)

        /// <summary>One element for each index along a dimension.</summary>
        static member gather(dim: int, indices: Tensor) : Tensor -> Tensor =
            fun x -> dsharp.gather (x, dim, indices)

        /// <summary>The slices with the given indices along a dimension.</summary>
        static member indexSelect(x: Tensor, dim: int, indices: Tensor) : Tensor = x.index_select (int64 dim, indices)

        /// <summary>The slices with the given indices along a dimension.</summary>
        static member indexSelect(dim: int, indices: Tensor) : Tensor -> Tensor =
            fun x -> dsharp.indexSelect (x, dim, indices)

        /// <summary>A diagonal of a matrix, as a vector.</summary>
        static member diagonal(x: Tensor, ?offset: int) : Tensor =
            x.diagonal (int64 (defaultArg offset 0))

        /// <summary>The lower triangle, zeros above.</summary>
        static member tril(x: Tensor, ?diagonal: int) : Tensor = x.tril (int64 (defaultArg diagonal 0))

        /// <summary>The upper triangle, zeros below.</summary>
        static member triu(x: Tensor, ?diagonal: int) : Tensor = x.triu (int64 (defaultArg diagonal 0))
