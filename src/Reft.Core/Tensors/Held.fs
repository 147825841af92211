namespace Reft.Core

open System
open System.Numerics
open TorchSharp

/// <summary>
/// The last numbers that a thread has given to libtorch. TorchSharp frees a Scalar when it is collected, and nothing keeps it
/// alive while a native call reads it: a collection that another thread sets off in that moment frees it under the call, which
/// then fails with "Unknown scalar type", or computes with another number. So these are held on to.
/// </summary>
[<Sealed; AbstractClass>]
type internal Held private () =

    /// More than one expression can need; a number is read before the next call is made.
    static let count = 64

    [<ThreadStatic; DefaultValue>]
    static val mutable private last: Scalar[] | null

    [<ThreadStatic; DefaultValue>]
    static val mutable private next: int

    static member Hold(scalar: Scalar) : Scalar =
        let last =
            match Held.last with
            | null ->
                let fresh = Array.zeroCreate count
                Held.last <- fresh
                fresh
            | last -> last

        last[Held.next] <- scalar
        Held.next <- (Held.next + 1) % count
        scalar

/// <summary>
/// Arithmetic without a Scalar that nothing holds (<see cref="T:Reft.Core.Held"/>). TorchSharp's own operators of a tensor and a
/// number make one; and so do the sum of two tensors, whose second it multiplies by 1, and the square. A test goes through
/// the calls of both libraries, so that none comes back.
/// </summary>
[<AutoOpen>]
module internal HeldNumbers =

    /// A number for libtorch: whole where its type is, which decides what an operation on whole numbers gives.
    let held (number: 'Number :> INumberBase<'Number>) : Scalar =
        (if typeof<'Number> = typeof<int> || typeof<'Number> = typeof<int64> then
             Int64.CreateChecked(number).ToScalar()
         else
             Double.CreateChecked(number).ToScalar())
        |> Held.Hold

    /// The sum of two tensors.
    let (.+) (a: Tensor) (b: Tensor) : Tensor = a.add (b, held 1)

    /// Adds a tensor to another in place.
    let addTo (sum: Tensor) (tensor: Tensor) : Tensor = sum.add_ (tensor, held 1)

    /// The square of each number.
    let squared (tensor: Tensor) : Tensor = tensor * tensor

    /// The Euclidean norm along a dimension, which stays with length 1.
    let normAlong (dimension: int) (tensor: Tensor) : Tensor = tensor.norm (dimension, true, 2.0f)

    /// A tensor plus a number.
    let (+.) (tensor: Tensor) (number: 'Number :> INumberBase<'Number>) : Tensor = tensor.add (held number, held 1)

    /// A tensor minus a number.
    let (-.) (tensor: Tensor) (number: 'Number :> INumberBase<'Number>) : Tensor = tensor.sub (held number)

    /// A tensor times a number.
    let ( *. ) (tensor: Tensor) (number: 'Number :> INumberBase<'Number>) : Tensor = tensor.mul (held number)

    /// A tensor divided by a number.
    let (/.) (tensor: Tensor) (number: 'Number :> INumberBase<'Number>) : Tensor = tensor.div (held number)
