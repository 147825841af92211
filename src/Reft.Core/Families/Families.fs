namespace Reft.Core

/// <summary>The supported families.</summary>
[<RequireQualifiedAccess>]
module Families =

    /// <summary>Every family that Reft computes.</summary>
    let all: Family list =
        [ Llama.family
          Mistral.family
          Qwen2.family
          Qwen3.family
          Gemma.family
          Gemma2.family
          Gemma3.family
          Phi3.family
          Olmo2.family
          Gpt2.family
          GptNeoX.family
          Bert.family
          Roberta.family ]

    /// <summary>Their names, for messages.</summary>
    let names: string =
        all |> List.map (fun family -> family.Name) |> String.concat ", "

    /// <summary>The family of a name, if it is supported.</summary>
    let tryFind (name: string) : Family option =
        all |> List.tryFind (fun family -> family.Name = name)

    /// <summary>The family of a model's shape.</summary>
    /// <exception cref="T:System.ArgumentException">It is not supported: the message lists those that are.</exception>
    let ofConfig (config: ModelConfig) : Family =
        match tryFind config.Family with
        | Some family -> family
        | None -> invalidArg (nameof config) $"expected a family of {names}, found '{config.Family}'"

    /// <summary>The weights of a model of this shape, in numbers.</summary>
    let parameterCount (config: ModelConfig) (family: Family) : int64 =
        family.Tensors config
        |> List.sumBy (fun (_, shape) -> shape |> List.fold (*) 1L)
