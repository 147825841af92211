namespace Reft.Core

open System
open System.Collections.Generic
open System.Runtime.InteropServices
open TorchSharp

/// Whole numbers [out, in] and what each row is multiplied by [out, 1].
[<Sealed>]
type internal Int8Matrix(values: Tensor, scale: Tensor) =
    member _.Values = values
    member _.Scale = scale

/// libtorch's product with a matrix that stays int8. TorchSharp does not bind it; TorchScript reaches it.
module private PackedProduct =

    let private unit =
        lazy
            (torch.jit.compile
                "def product(x: Tensor, values: Tensor, scale: Tensor) -> Tensor:\n    return torch._weight_int8pack_mm(x, values, scale)\n")

    /// With more rows the matrix unit is worth expanding the matrix for: the two are about even at 128.
    [<Literal>]
    let private MostRows = 64L

    /// The kernel reads rows of 16 or 32 numbers and beyond the end of others.
    [<Literal>]
    let private Width = 32L

    let serves (matrix: Int8Matrix) (x: Tensor) : bool =
        x.dtype = torch.bfloat16
        && x.device.``type`` = DeviceType.CPU
        && RuntimeInformation.ProcessArchitecture = Architecture.X64
        && x.shape[0] > 0L
        && x.shape[0] <= MostRows
        && x.shape[1] % Width = 0L
        && matrix.Scale.dtype = x.dtype

    let apply (matrix: Int8Matrix) (x: Tensor) : Tensor =
        match unit.Value.invoke ("product", x.contiguous (), matrix.Values, matrix.Scale.view -1L) with
        | :? Tensor as y -> y
        | other -> invalidOp $"expected a tensor of the int8 product, found {other}"

module private Precision =

    /// What sums are taken in.
    let wider (dtype: torch.ScalarType) : torch.ScalarType =
        if dtype = torch.float64 then
            torch.float64
        else
            torch.float32

/// Products without a graph. The matrix is expanded a chunk of rows at a time: never the whole of it, and each chunk is
/// multiplied while it is still near the processor.
module private ChunkedProduct =

    /// 8 MB of bf16: large enough for the matrix unit, and below the size from which freed memory leaves the process.
    [<Literal>]
    let private ChunkNumbers = 4_194_304L

    /// The rows of a matrix, this many numbers at a time.
    let spansOf (numbers: int64) (matrix: Tensor) : struct (int64 * int64) list =
        let rows, columns = matrix.shape[0], max 1L matrix.shape[1]
        let size = max 1L (numbers / columns)

        [ for start in 0L .. size .. rows - 1L -> struct (start, min size (rows - start)) ]

    let private spans = spansOf ChunkNumbers

    /// x Wᵀ. [n, in] → [n, out]
    let forward (matrix: Int8Matrix) (x: Tensor) : Tensor =
        let parts =
            [ for struct (start, count) in spans matrix.Values ->
                  Scope.run (fun () ->
                      torch.nn.functional.linear (x, matrix.Values.narrow(0L, start, count).``to`` x.dtype)) ]

        let joined =
            match parts with
            | [ whole ] -> whole
            | parts -> torch.cat (ResizeArray parts, -1L)

        // Whole numbers up to 127 are exact in every dtype: the weights are rounded nowhere but at quantising.
        joined * (matrix.Scale.``to`` x.dtype).view -1L

    /// g W, the derivative of x Wᵀ. [n, out] → [n, in]
    let backward (matrix: Int8Matrix) (g: Tensor) : Tensor =
        let scaled = g * (matrix.Scale.``to`` g.dtype).view -1L

        let part struct (start, count) =
            Scope.run (fun () ->
                torch.mm (scaled.narrow (1L, start, count), matrix.Values.narrow(0L, start, count).``to`` g.dtype))

        match spans matrix.Values with
        | [ whole ] -> part whole
        | spans ->
            // Summed without rounding to bf16 in between, as within a product.
            let sum =
                torch.zeros (g.shape[0], matrix.Values.shape[1], dtype = Precision.wider g.dtype, device = g.device)

            for span in spans do
                use part = part span
                part |> addTo sum |> ignore

            sum.``to`` g.dtype

/// x Wᵀ, or g W, as one node of the graph that holds the int8 matrix alone: libtorch would hold the expanded one of every
/// layer until the backward pass. The derivative of either is the other, so that every order exists.
[<Sealed>]
type private Int8Product() =
    inherit torch.autograd.SingleTensorFunction<Int8Product>()

    /// x: [n, in], or [n, out] where transposed.
    static member Of (transposed: bool) (matrix: Int8Matrix) (x: Tensor) : Tensor =
        if x.requires_grad && torch.is_grad_enabled () then
            torch.autograd.SingleTensorFunction<Int8Product>.apply [| box x; box matrix; box transposed |]
        elif transposed then
            ChunkedProduct.backward matrix x
        elif PackedProduct.serves matrix x then
            PackedProduct.apply matrix x
        else
            ChunkedProduct.forward matrix x

    override _.Name = "Int8Product"

    override _.forward(context, inputs) =
        match inputs with
        | [| :? Tensor as x; :? Int8Matrix as matrix; :? bool as transposed |] ->
            context.save_data ("matrix", matrix)
            context.save_data ("transposed", transposed)
            use _ = torch.no_grad ()
            Scope.run (fun () -> Int8Product.Of transposed matrix (x.detach ()))
        | _ -> invalidOp "an int8 product takes a tensor, a matrix and its direction"

    override _.backward(context, gradient) =
        match context.get_data "matrix", context.get_data "transposed" with
        | (:? Int8Matrix as matrix), (:? bool as transposed) ->
            let result = Scope.run (fun () -> Int8Product.Of (not transposed) matrix gradient)
            // One for each input; only the first is differentiated by.
            let gradients = List<Tensor>()
            gradients.Add result
            gradients.Add Unchecked.defaultof<Tensor>
            gradients.Add Unchecked.defaultof<Tensor>
            gradients
        | _ -> invalidOp "an int8 product has lost its matrix"

/// <summary>
/// Matrices of 8-bit whole numbers with one factor per output channel: w ≈ q s, where s = max |w| / 127 over the row, so that
/// |w − q s| ≤ s / 2. Only weights are quantised; activations stay in the model's dtype.
/// </summary>
[<RequireQualifiedAccess>]
module Int8 =

    /// Temporaries of 4 MB, much smaller than a matrix: the holes that they leave in the heap between matrices that stay serve
    /// the next temporaries. As large as a matrix, they left 1 GB of holes among the 7 GB of a 7B model.
    [<Literal>]
    let private ChunkNumbers = 1_048_576L

    let private quantiseRows (dtype: torch.ScalarType) (weight: Tensor) =
        let wide = weight.``to`` torch.float32
        // Rounded before it is divided by, so that the bound holds for the factor that is kept.
        let rounded = (wide.abs().amax([| 1L |], true) /. 127.0f).``to`` dtype
        // A row of zeros, or one too small for the dtype.
        let scale = rounded.masked_fill (rounded.eq (held 0.0f), held 1.0f)

        let values =
            (wide / scale.``to`` torch.float32).round_().clamp_(held (-127.0f), held 127.0f)

        values.``to`` torch.int8, scale

    /// <summary>
    /// The whole numbers of a matrix, int8 [out, in], and what each row is multiplied by [out, 1], a chunk of rows at a time.
    /// A row with a number that is not finite has a factor that is not finite either.
    /// </summary>
    /// <param name="dtype">The dtype of the factors: the model's.</param>
    /// <param name="weight">[out, in], of any floating-point dtype.</param>
    /// <exception cref="T:System.ArgumentException">It is no matrix of floating-point numbers.</exception>
    let quantise (dtype: torch.ScalarType) (weight: Tensor) : Tensor * Tensor =
        Native.load ()

        if weight.shape.Length <> 2 || not (weight.is_floating_point ()) then
            let shape = String.Join(", ", weight.shape)

            invalidArg
                (nameof weight)
                $"only matrices of floating-point numbers become int8: expected [out, in], found {weight.dtype} [{shape}]"

        use _ = torch.no_grad ()

        Scope.run2 (fun () ->
            let values = torch.empty (weight.shape, dtype = torch.int8, device = weight.device)

            let scale = torch.empty (weight.shape[0], 1L, dtype = dtype, device = weight.device)

            if weight.numel () > 0L then
                for struct (start, count) in weight |> ChunkedProduct.spansOf ChunkNumbers do
                    Scope.free (fun () ->
                        let part, factor = weight.narrow (0L, start, count) |> quantiseRows dtype
                        values.narrow(0L, start, count).copy_ part |> ignore
                        scale.narrow(0L, start, count).copy_ factor |> ignore)

            values, scale)

    /// <summary>The matrix that the numbers stand for. [out, in]</summary>
    /// <param name="dtype">Its dtype.</param>
    /// <param name="values">Whole numbers, int8. [out, in]</param>
    /// <param name="scale">What each row is multiplied by. [out, 1]</param>
    let dequantise (dtype: torch.ScalarType) (values: Tensor) (scale: Tensor) : Tensor =
        let wide = Precision.wider dtype
        Scope.run (fun () -> (values.``to`` wide * scale.``to`` wide).``to`` dtype)

    /// <summary>
    /// x Wᵀ, differentiable with respect to x to every order: neither pass holds the whole matrix in another dtype than int8.
    /// [..., in] → [..., out]
    /// </summary>
    /// <param name="values">Whole numbers, int8. [out, in]</param>
    /// <param name="scale">What each row is multiplied by. [out, 1]</param>
    /// <param name="x">Of the model's dtype.</param>
    /// <exception cref="T:System.ArgumentException">x is not of the matrix's width.</exception>
    let product (values: Tensor) (scale: Tensor) (x: Tensor) : Tensor =
        let shape = x.shape
        let width = values.shape[1]

        // The native products do not all check it.
        if shape.Length = 0 || shape[shape.Length - 1] <> width then
            let found = String.Join(", ", shape)
            invalidArg (nameof x) $"expected a last dimension of {width}, found [{found}]"

        Scope.run (fun () ->
            let flat =
                x.reshape (-1L, width) |> Int8Product.Of false (Int8Matrix(values, scale))

            flat.view [| yield! shape[.. shape.Length - 2]; values.shape[0] |])
