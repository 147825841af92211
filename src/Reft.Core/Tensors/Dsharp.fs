namespace Reft.Core

open System
open TorchSharp

/// What the members of `dsharp` do to their arguments before libtorch sees them.
module internal Argument =

    /// A number as libtorch's scalar, freed after the call.
    let withNumber (call: Scalar -> Tensor) (number: float) : Tensor =
        use scalar = number.ToScalar()
        call scalar

    /// A whole number as libtorch's scalar, freed after the call.
    let withWhole (call: Scalar -> Tensor) (number: int) : Tensor =
        use scalar = (int64 number).ToScalar()
        call scalar

    let sizes (shape: seq<int>) : int64[] = shape |> Seq.map int64 |> Seq.toArray

    let shapeText (shape: int64[]) =
        String.Join("; ", shape) |> sprintf "[%s]"

    /// The rows of a matrix, checked to be of one length.
    let matrix (rows: seq<'row> when 'row :> seq<'value>) : 'value[] * int64[] =
        let rows = rows |> Seq.map Seq.toArray |> Seq.toArray
        let columns = if rows.Length = 0 then 0 else rows[0].Length

        rows
        |> Array.iteri (fun i row ->
            if row.Length <> columns then
                invalidArg
                    (nameof rows)
                    $"expected rows of {columns} values, like row 0, found {row.Length} in row {i}")

        Array.concat rows, [| int64 rows.Length; int64 columns |]

/// <summary>
/// DiffSharp's vocabulary (not DiffSharp) over libtorch's tensors: creation, shape, pointwise functions, reductions,
/// products, losses and derivatives. <c>dsharp.sum(x, 1)</c> applies at once; <c>x |> dsharp.sum 1</c> is its pipeable twin.
/// </summary>
/// <remarks>
/// Numbers are fp32 and whole numbers int64 unless a dtype is given; there is no global dtype, device or random state.
/// This file makes tensors; <c>Dsharp.Shape.fs</c> and its neighbours add the rest.
/// </remarks>
[<AbstractClass; Sealed>]
type dsharp =

    // torch.float64 and its like load libtorch themselves, and fail where Native.load has to go first: an argument is
    // evaluated before the call. The enumeration's values load nothing.

    /// <summary>The dtype of IEEE half precision.</summary>
    static member float16 = torch.ScalarType.Float16

    /// <summary>The dtype of bfloat16: the range of fp32, eight bits of precision.</summary>
    static member bfloat16 = torch.ScalarType.BFloat16

    /// <summary>The dtype of single precision.</summary>
    static member float32 = torch.ScalarType.Float32

    /// <summary>The dtype of double precision.</summary>
    static member float64 = torch.ScalarType.Float64

    /// <summary>The dtype of 32-bit whole numbers.</summary>
    static member int32 = torch.ScalarType.Int32

    /// <summary>The dtype of 64-bit whole numbers, which indices have.</summary>
    static member int64 = torch.ScalarType.Int64

    /// <summary>The dtype of truth values.</summary>
    static member bool = torch.ScalarType.Bool

    /// <summary>A device by name: <c>cpu</c>, <c>cuda</c>, <c>cuda:1</c>.</summary>
    static member device(name: string) : torch.Device =
        Native.load ()
        torch.device name

    static member private create(values: Array, shape: int64[], found: torch.ScalarType, dtype, device) : Tensor =
        Native.load ()

        // Through the widest type of the values, so that a dtype given with them rounds once.
        let device: torch.Device | null = Option.toObj device
        let dtype = Nullable(defaultArg dtype found)

        match values with
        | :? (float[]) as values -> torch.tensor (values, ReadOnlySpan shape, dtype = dtype, device = device)
        | :? (float32[]) as values -> torch.tensor (values, ReadOnlySpan shape, dtype = dtype, device = device)
        | :? (int64[]) as values -> torch.tensor (values, ReadOnlySpan shape, dtype = dtype, device = device)
        | :? (bool[]) as values -> torch.tensor (values, ReadOnlySpan shape, dtype = dtype, device = device)
        | other -> invalidArg (nameof values) $"expected numbers or truth values, found {other.GetType()}"

    /// <summary>A scalar, fp32 unless a dtype is given.</summary>
    static member tensor(value: float, ?dtype: torch.ScalarType, ?device: torch.Device) : Tensor =
        dsharp.create ([| value |], [||], torch.ScalarType.Float32, dtype, device)

    /// <summary>A scalar, fp32 unless a dtype is given.</summary>
    static member tensor(value: float32, ?dtype: torch.ScalarType, ?device: torch.Device) : Tensor =
        dsharp.create ([| value |], [||], torch.ScalarType.Float32, dtype, device)

    /// <summary>A scalar, int64 unless a dtype is given.</summary>
    static member tensor(value: int, ?dtype: torch.ScalarType, ?device: torch.Device) : Tensor =
        dsharp.create ([| int64 value |], [||], torch.ScalarType.Int64, dtype, device)

    /// <summary>A scalar, int64 unless a dtype is given.</summary>
    static member tensor(value: int64, ?dtype: torch.ScalarType, ?device: torch.Device) : Tensor =
        dsharp.create ([| value |], [||], torch.ScalarType.Int64, dtype, device)

    /// <summary>A truth value.</summary>
    static member tensor(value: bool, ?dtype: torch.ScalarType, ?device: torch.Device) : Tensor =
        dsharp.create ([| value |], [||], torch.ScalarType.Bool, dtype, device)

    /// <summary>A vector, fp32 unless a dtype is given.</summary>
    static member tensor(values: seq<float>, ?dtype: torch.ScalarType, ?device: torch.Device) : Tensor =
        let values = Seq.toArray values
        dsharp.create (values, [| values.LongLength |], torch.ScalarType.Float32, dtype, device)

    /// <summary>A vector, fp32 unless a dtype is given.</summary>
    static member tensor(values: seq<float32>, ?dtype: torch.ScalarType, ?device: torch.Device) : Tensor =
        let values = Seq.toArray values
        dsharp.create (values, [| values.LongLength |], torch.ScalarType.Float32, dtype, device)

    /// <summary>A vector, int64 unless a dtype is given.</summary>
    static member tensor(values: seq<int>, ?dtype: torch.ScalarType, ?device: torch.Device) : Tensor =
        let values = values |> Seq.map int64 |> Seq.toArray
        dsharp.create (values, [| values.LongLength |], torch.ScalarType.Int64, dtype, device)

    /// <summary>A vector, int64 unless a dtype is given.</summary>
    static member tensor(values: seq<int64>, ?dtype: torch.ScalarType, ?device: torch.Device) : Tensor =
        let values = Seq.toArray values
        dsharp.create (values, [| values.LongLength |], torch.ScalarType.Int64, dtype, device)

    /// <summary>A vector of truth values.</summary>
    static member tensor(values: seq<bool>, ?dtype: torch.ScalarType, ?device: torch.Device) : Tensor =
        let values = Seq.toArray values
        dsharp.create (values, [| values.LongLength |], torch.ScalarType.Bool, dtype, device)

    /// <summary>A matrix from its rows, fp32 unless a dtype is given. [rows, columns]</summary>
    /// <exception cref="T:System.ArgumentException">The rows differ in length.</exception>
    static member tensor(rows: seq<float list>, ?dtype: torch.ScalarType, ?device: torch.Device) : Tensor =
        let values, shape = Argument.matrix rows
        dsharp.create (values, shape, torch.ScalarType.Float32, dtype, device)

    /// <summary>A matrix from its rows, fp32 unless a dtype is given. [rows, columns]</summary>
    /// <exception cref="T:System.ArgumentException">The rows differ in length.</exception>
    static member tensor(rows: seq<float[]>, ?dtype: torch.ScalarType, ?device: torch.Device) : Tensor =
        let values, shape = Argument.matrix rows
        dsharp.create (values, shape, torch.ScalarType.Float32, dtype, device)

    /// <summary>A matrix from its rows, int64 unless a dtype is given. [rows, columns]</summary>
    /// <exception cref="T:System.ArgumentException">The rows differ in length.</exception>
    static member tensor(rows: seq<int list>, ?dtype: torch.ScalarType, ?device: torch.Device) : Tensor =
        let values, shape = Argument.matrix rows
        dsharp.create (values |> Array.map int64, shape, torch.ScalarType.Int64, dtype, device)

    /// <summary>A matrix from its rows, int64 unless a dtype is given. [rows, columns]</summary>
    /// <exception cref="T:System.ArgumentException">The rows differ in length.</exception>
    static member tensor(rows: seq<int[]>, ?dtype: torch.ScalarType, ?device: torch.Device) : Tensor =
        let values, shape = Argument.matrix rows
        dsharp.create (values |> Array.map int64, shape, torch.ScalarType.Int64, dtype, device)

    /// <summary>A matrix from its rows, of truth values. [rows, columns]</summary>
    /// <exception cref="T:System.ArgumentException">The rows differ in length.</exception>
    static member tensor(rows: seq<bool list>, ?dtype: torch.ScalarType, ?device: torch.Device) : Tensor =
        let values, shape = Argument.matrix rows
        dsharp.create (values, shape, torch.ScalarType.Bool, dtype, device)

    /// <summary>A matrix from its rows, of truth values. [rows, columns]</summary>
    /// <exception cref="T:System.ArgumentException">The rows differ in length.</exception>
    static member tensor(rows: seq<bool[]>, ?dtype: torch.ScalarType, ?device: torch.Device) : Tensor =
        let values, shape = Argument.matrix rows
        dsharp.create (values, shape, torch.ScalarType.Bool, dtype, device)

    /// <summary>A tensor of one value throughout, fp32 unless a dtype is given.</summary>
    static member full(shape: seq<int>, value: float, ?dtype: torch.ScalarType, ?device: torch.Device) : Tensor =
        Native.load ()
        let sizes = Argument.sizes shape
        let dtype = Nullable(defaultArg dtype torch.ScalarType.Float32)

        value
        |> Argument.withNumber (fun value -> torch.full (sizes, value, dtype = dtype, device = Option.toObj device))

    /// <summary>A vector of one value throughout, fp32 unless a dtype is given.</summary>
    static member full(length: int, value: float, ?dtype: torch.ScalarType, ?device: torch.Device) : Tensor =
        dsharp.full ([ length ], value, ?dtype = dtype, ?device = device)

    /// <summary>Zeros, fp32 unless a dtype is given.</summary>
    static member zeros(shape: seq<int>, ?dtype: torch.ScalarType, ?device: torch.Device) : Tensor =
        dsharp.full (shape, 0.0, ?dtype = dtype, ?device = device)

    /// <summary>A vector of zeros, fp32 unless a dtype is given.</summary>
    static member zeros(length: int, ?dtype: torch.ScalarType, ?device: torch.Device) : Tensor =
        dsharp.full ([ length ], 0.0, ?dtype = dtype, ?device = device)

    /// <summary>Ones, fp32 unless a dtype is given.</summary>
    static member ones(shape: seq<int>, ?dtype: torch.ScalarType, ?device: torch.Device) : Tensor =
        dsharp.full (shape, 1.0, ?dtype = dtype, ?device = device)

    /// <summary>A vector of ones, fp32 unless a dtype is given.</summary>
    static member ones(length: int, ?dtype: torch.ScalarType, ?device: torch.Device) : Tensor =
        dsharp.full ([ length ], 1.0, ?dtype = dtype, ?device = device)

    /// <summary>The identity matrix, or its upper left part. [rows, columns]</summary>
    static member eye(rows: int, ?columns: int, ?dtype: torch.ScalarType, ?device: torch.Device) : Tensor =
        Native.load ()

        torch.eye (
            int64 rows,
            int64 (defaultArg columns rows),
            dtype = Nullable(defaultArg dtype torch.ScalarType.Float32),
            device = Option.toObj device
        )

    /// <summary>0, 1, … up to but without <paramref name="stop"/>, int64 unless a dtype is given.</summary>
    static member arange(stop: int, ?start: int, ?step: int, ?dtype: torch.ScalarType, ?device: torch.Device) : Tensor =
        Native.load ()
        use start = (int64 (defaultArg start 0)).ToScalar()
        use stop = (int64 stop).ToScalar()
        use step = (int64 (defaultArg step 1)).ToScalar()
        let dtype = Nullable(defaultArg dtype torch.ScalarType.Int64)
        torch.arange (start, stop, step, dtype = dtype, device = Option.toObj device)

    /// <summary>Evenly spaced numbers, both ends included, fp32 unless a dtype is given.</summary>
    static member linspace
        (start: float, stop: float, steps: int, ?dtype: torch.ScalarType, ?device: torch.Device)
        : Tensor =
        Native.load ()
        let dtype = Nullable(defaultArg dtype torch.ScalarType.Float32)
        torch.linspace (start, stop, int64 steps, dtype = dtype, device = Option.toObj device)

    /// <summary>A vector of zeros with a one at index <paramref name="hot"/>, fp32 unless a dtype is given.</summary>
    /// <exception cref="T:System.ArgumentException">The index lies outside the vector.</exception>
    static member onehot(length: int, hot: int, ?dtype: torch.ScalarType, ?device: torch.Device) : Tensor =
        if hot < 0 || hot >= length then
            invalidArg (nameof hot) $"expected an index in 0 … {length - 1}, found {hot}"

        dsharp.tensor (Array.init length (fun i -> if i = hot then 1.0 else 0.0), ?dtype = dtype, ?device = device)

    /// <summary>Independent draws from U[0, 1); the same <c>Rng</c> always draws the same.</summary>
    static member rand(shape: seq<int>, rng: Rng, ?dtype: torch.ScalarType, ?device: torch.Device) : Tensor =
        Scope.run (fun () ->
            let draws = rng |> Rng.uniform 0.0 1.0 (Argument.sizes shape |> Array.toList)
            draws.``to`` (defaultArg dtype torch.ScalarType.Float32, defaultArg device torch.CPU))

    /// <summary>Draws from U[0, 1) as a function of the stream.</summary>
    static member rand(shape: seq<int>) : Rng -> Tensor = fun rng -> dsharp.rand (shape, rng)

    /// <summary>Independent standard normal draws; the same <c>Rng</c> always draws the same.</summary>
    static member randn(shape: seq<int>, rng: Rng, ?dtype: torch.ScalarType, ?device: torch.Device) : Tensor =
        Scope.run (fun () ->
            let draws = rng |> Rng.normal (Argument.sizes shape |> Array.toList)
            draws.``to`` (defaultArg dtype torch.ScalarType.Float32, defaultArg device torch.CPU))

    /// <summary>Standard normal draws as a function of the stream.</summary>
    static member randn(shape: seq<int>) : Rng -> Tensor = fun rng -> dsharp.randn (shape, rng)

    /// <summary>Zeros of the shape, dtype and device of a tensor.</summary>
    static member zerosLike(x: Tensor) : Tensor = torch.zeros_like x

    /// <summary>Ones of the shape, dtype and device of a tensor.</summary>
    static member onesLike(x: Tensor) : Tensor = torch.ones_like x

    /// <summary>One value throughout, in the shape, dtype and device of a tensor.</summary>
    static member fullLike(x: Tensor, value: float) : Tensor =
        value |> Argument.withNumber (fun value -> torch.full_like (x, value))

    /// <summary>One value throughout, in the shape, dtype and device of a tensor.</summary>
    static member fullLike(value: float) : Tensor -> Tensor = fun x -> dsharp.fullLike (x, value)

    /// <summary>Draws from U[0, 1) in the shape, dtype and device of a tensor.</summary>
    static member randLike(x: Tensor, rng: Rng) : Tensor =
        dsharp.rand (Seq.map int x.shape, rng, x.dtype, x.device)

    /// <summary>Standard normal draws in the shape, dtype and device of a tensor.</summary>
    static member randnLike(x: Tensor, rng: Rng) : Tensor =
        dsharp.randn (Seq.map int x.shape, rng, x.dtype, x.device)
