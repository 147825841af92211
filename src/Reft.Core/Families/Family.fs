namespace Reft.Core

open System.Text.Json

/// <summary>A model family as Hugging Face folders hold it: the supported ones are the rows of <c>Families.all</c>.</summary>
[<NoEquality; NoComparison>]
type Family =
    {
        /// <c>model_type</c> in config.json.
        Name: string
        /// <c>architectures</c> in config.json, of a model with a language-model head.
        Architecture: string
        /// What stands on the model for sequence classification.
        SequenceHead: SequenceHead
        /// config.json → shape.
        ReadConfig: JsonValue -> ModelConfig
        /// Shape → the keys of config.json.
        WriteConfig: ModelConfig -> Utf8JsonWriter -> unit
        /// Every tensor with its shape, those of the checkpoint's head included.
        Tensors: ModelConfig -> (string * int64 list) list
        /// Tensors that files may carry and no computation reads.
        Ignorable: ModelConfig -> string -> bool
        /// The name in <c>Tensors</c> of a tensor that older or barer files call otherwise.
        Rename: string -> string
        /// The model of the given weights.
        Build: ModelConfig -> Weights -> Transformer
    }
