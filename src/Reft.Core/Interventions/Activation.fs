namespace Reft.Core

open TorchSharp

/// <summary>An activation function, by the name that Hugging Face configurations use.</summary>
[<NoEquality; NoComparison>]
type Activation =
    {
        /// Its name in files.
        Name: string
        /// The function itself, elementwise.
        Apply: Tensor -> Tensor
    }

/// <summary>The activation functions.</summary>
[<RequireQualifiedAccess>]
module Activation =

    let private named name apply = { Name = name; Apply = apply }

    /// <summary>x ↦ x.</summary>
    let linear = named "linear" id

    /// <summary>x ↦ x · sigmoid(x), as in Llama's MLP.</summary>
    let silu = named "silu" torch.nn.functional.silu

    /// The tanh approximation of GELU: 0.5 x (1 + tanh(√(2/π)(x + 0.044715 x³))).
    let private geluTanh (x: Tensor) =
        torch.nn.functional.gelu (x, Modules.GELU.Approximate.tanh, false)

    /// <summary>Every activation function, by name.</summary>
    let all: Activation list =
        [ linear
          silu
          named "swish" torch.nn.functional.silu
          named "relu" torch.nn.functional.relu
          named "gelu" torch.nn.functional.gelu
          named "gelu_new" geluTanh
          named "gelu_pytorch_tanh" geluTanh
          named "tanh" torch.tanh
          named "sigmoid" torch.sigmoid ]

    /// <summary>The activation function of a name.</summary>
    /// <exception cref="T:System.ArgumentException">There is none of that name: the message lists them.</exception>
    let ofName (name: string) : Activation =
        match all |> List.tryFind (fun activation -> activation.Name = name) with
        | Some activation -> activation
        | None ->
            let known =
                all |> List.map (fun activation -> activation.Name) |> String.concat ", "

            invalidArg (nameof name) $"there is no activation function '{name}': expected one of {known}"
