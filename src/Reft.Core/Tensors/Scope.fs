namespace Reft.Core

open TorchSharp

/// <summary>
/// Scopes of tensor lifetimes: every tensor made inside a scope is freed at its end, exceptions included, except what the
/// body returns, which moves to the scope around it. Scopes nest and belong to their thread.
/// </summary>
[<RequireQualifiedAccess>]
module Scope =

    let private within (moveOut: DisposeScope -> 'T -> unit) (body: unit -> 'T) : 'T =
        Native.load ()
        use scope = torch.NewDisposeScope()
        let result = body ()
        moveOut scope result
        result

    // A tensor that the body was given, and returns, belongs to a scope further out and must stay there.
    let private moveTensor (scope: DisposeScope) (tensor: Tensor) =
        if scope.Contains tensor then
            scope.MoveToOuter tensor |> ignore

    /// <summary>Runs <paramref name="body"/> and frees every tensor it made except its result.</summary>
    let run (body: unit -> Tensor) : Tensor = within moveTensor body

    /// <summary><c>run</c> for a body that returns two tensors.</summary>
    let run2 (body: unit -> Tensor * Tensor) : Tensor * Tensor =
        body
        |> within (fun scope (a, b) ->
            moveTensor scope a
            moveTensor scope b)

    /// <summary><c>run</c> for a body that returns three tensors.</summary>
    let run3 (body: unit -> Tensor * Tensor * Tensor) : Tensor * Tensor * Tensor =
        body
        |> within (fun scope (a, b, c) ->
            moveTensor scope a
            moveTensor scope b
            moveTensor scope c)

    /// <summary><c>run</c> for a body that returns a list of tensors.</summary>
    let runList (body: unit -> Tensor list) : Tensor list =
        body |> within (fun scope tensors -> tensors |> List.iter (moveTensor scope))

    /// <summary>
    /// Runs a body whose result holds no tensor, such as a number or <c>unit</c>, and frees every tensor it made.
    /// </summary>
    let free (body: unit -> 'T) : 'T = within (fun _ _ -> ()) body
