namespace Reft.Core

/// <summary>Gemma 1: Llama with (1 + w) norms, scaled embeddings and a tied head.</summary>
[<RequireQualifiedAccess>]
module Gemma =

    /// <summary>What the classes of Gemma 1 to 3 have where a file says nothing.</summary>
    let standard: ModelConfig =
        { ModelConfig.llama with
            Family = "gemma"
            Context = 8192
            TiedHead = true
            Activation = "gelu_pytorch_tanh"
            BosId = Some 2
            EosIds = [ 1 ]
            PadId = Some 0 }

    /// <summary>The layout that Gemma 1 to 3 share.</summary>
    let layout: RotaryLayout =
        { RotaryDecoder.llama with
            Norm = Norm.rmsOnePlus
            ScaledEmbedding = true }

    /// <summary>
    /// The activation function: <c>hidden_activation</c>, or else the tanh approximation also where <c>hidden_act</c> says
    /// gelu: the first files said so and meant the approximation, as transformers knows.
    /// </summary>
    let activation (json: JsonValue) : string =
        match JsonValue.tryField "hidden_activation" json with
        | Some _ -> ConfigKeys.activation "hidden_activation" standard.Activation json
        | None ->
            match ConfigKeys.activation "hidden_act" standard.Activation json with
            | "gelu" -> standard.Activation
            | name -> name

    /// <summary>The shared keys.</summary>
    /// <param name="standard">What the class has.</param>
    /// <param name="json">The file.</param>
    let readConfig (standard: ModelConfig) (json: JsonValue) : ModelConfig =
        ConfigKeys.refuse "use_bidirectional_attention" false json

        { RotaryDecoder.readConfig standard (Some 256) json with
            AttentionBias = json |> ConfigKeys.optional "attention_bias" JsonValue.bool false
            Activation = activation json }

    /// <summary>The family.</summary>
    let family: Family =
        { RotaryDecoder.family "GemmaForCausalLM" standard layout with
            ReadConfig = readConfig standard
            WriteConfig =
                fun config writer ->
                    RotaryDecoder.writeConfig config writer
                    writer.WriteBoolean("attention_bias", config.AttentionBias)
                    writer.WriteString("hidden_activation", config.Activation) }
