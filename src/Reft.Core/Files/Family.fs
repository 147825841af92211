namespace Reft.Core

open System.Text.Json

/// <summary>A model family as Hugging Face folders hold it: the supported ones are the rows of <c>Family.all</c>.</summary>
[<NoEquality; NoComparison>]
type Family =
    {
        /// <c>model_type</c> in config.json.
        Name: string
        /// <c>architectures</c> in config.json.
        Architecture: string
        /// config.json → shape.
        ReadConfig: JsonValue -> ModelConfig
        /// Shape → the keys of config.json.
        WriteConfig: ModelConfig -> Utf8JsonWriter -> unit
        /// Every tensor with its shape.
        Tensors: ModelConfig -> (string * int64 list) list
        /// Tensors that files may carry and no computation reads.
        Ignorable: ModelConfig -> string -> bool
        /// The model whose weights are given by name.
        Build: ModelConfig -> (string -> Tensor) -> Transformer
    }

/// <summary>The supported families.</summary>
[<RequireQualifiedAccess>]
module Family =

    /// <summary>Every family that Reft computes.</summary>
    let all: Family list =
        [ { Name = "llama"
            Architecture = "LlamaForCausalLM"
            ReadConfig = LlamaConfig.read
            WriteConfig = LlamaConfig.write
            Tensors = Llama.tensors
            Ignorable = Llama.ignorable
            Build = Llama.build } ]

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
