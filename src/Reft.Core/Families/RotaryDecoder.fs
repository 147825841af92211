namespace Reft.Core

open System
open System.Text.Json
open TorchSharp

/// <summary>Which norm queries and keys go through before they turn.</summary>
[<RequireQualifiedAccess>]
type QueryKeyNorm =
    | Absent
    /// Each head by itself, with one weight [head_dim].
    | PerHead
    /// All heads as one vector.
    | Whole

/// <summary>In what the rotary decoders with gated MLPs differ: the names of their norms, and a few choices.</summary>
[<NoEquality; NoComparison>]
type RotaryLayout =
    {
        /// The norm, by ε and weight.
        Norm: float -> Tensor -> Tensor -> Tensor
        /// The names, within a layer, of the norms that it has.
        BeforeAttention: string option
        AfterAttention: string option
        BeforeMlp: string option
        AfterMlp: string option
        /// The norm of queries and keys.
        QueryKeyNorm: QueryKeyNorm
        /// Whether q, k, v are one tensor, and gate and up another.
        Joined: bool
        /// Whether the attention's output map has no bias though its other maps have one.
        OutputUnbiased: bool
        /// Whether embeddings are multiplied by √hidden.
        ScaledEmbedding: bool
    }

/// <summary>
/// Decoders with rotary positions and gated MLPs, Llama and its kin: shape → blocks, and their tensor names as a table.
/// </summary>
[<RequireQualifiedAccess>]
module RotaryDecoder =

    let private embedding = "model.embed_tokens.weight"
    let private finalNorm = "model.norm.weight"
    let private head = "lm_head"

    /// <summary>Llama's layout, from which the others are told apart.</summary>
    let llama: RotaryLayout =
        { Norm = Norm.rms
          BeforeAttention = Some "input_layernorm"
          AfterAttention = None
          BeforeMlp = Some "post_attention_layernorm"
          AfterMlp = None
          QueryKeyNorm = QueryKeyNorm.Absent
          Joined = false
          OutputUnbiased = false
          ScaledEmbedding = false }

    let private linear = FamilyParts.linear

    let private attentionOutput layout (config: ModelConfig) =
        linear "self_attn.o_proj" (config.AttentionBias && not layout.OutputUnbiased)

    let private down (config: ModelConfig) = linear "mlp.down_proj" config.MlpBias

    /// The linear maps of a layer with their shapes.
    let private linears layout (config: ModelConfig) =
        let hidden, inner = int64 config.Hidden, int64 config.Intermediate
        let query = int64 (config.Heads.Heads * config.Heads.HeadDim)
        let kv = int64 (config.Heads.KvHeads * config.Heads.HeadDim)

        [ if layout.Joined then
              linear "self_attn.qkv_proj" config.AttentionBias, query + 2L * kv, hidden
          else
              linear "self_attn.q_proj" config.AttentionBias, query, hidden
              linear "self_attn.k_proj" config.AttentionBias, kv, hidden
              linear "self_attn.v_proj" config.AttentionBias, kv, hidden
          attentionOutput layout config, hidden, query
          if layout.Joined then
              linear "mlp.gate_up_proj" config.MlpBias, 2L * inner, hidden
          else
              linear "mlp.gate_proj" config.MlpBias, inner, hidden
              linear "mlp.up_proj" config.MlpBias, inner, hidden
          down config, hidden, inner ]

    /// The weights of a layer's norms with their widths.
    let private norms layout (config: ModelConfig) =
        let query, key =
            match layout.QueryKeyNorm with
            | QueryKeyNorm.Absent -> None, None
            | QueryKeyNorm.PerHead -> Some config.Heads.HeadDim, Some config.Heads.HeadDim
            | QueryKeyNorm.Whole ->
                Some(config.Heads.Heads * config.Heads.HeadDim), Some(config.Heads.KvHeads * config.Heads.HeadDim)

        [ yield!
              [ layout.BeforeAttention
                layout.AfterAttention
                layout.BeforeMlp
                layout.AfterMlp ]
              |> List.choose (Option.map (fun name -> name, config.Hidden))
          yield! query |> Option.map (fun width -> "self_attn.q_norm", width) |> Option.toList
          yield! key |> Option.map (fun width -> "self_attn.k_norm", width) |> Option.toList ]

    let private tensors layout (config: ModelConfig) : (string * int64 list) list =
        let layer i =
            [ for entry, outputs, inputs in linears layout config do
                  yield! entry |> FamilyParts.linearTensors outputs inputs
              for name, width in norms layout config do
                  $"{name}.weight", [ int64 width ] ]
            |> List.map (fun (name, shape) -> $"model.layers.{i}.{name}", shape)

        [ embedding, [ int64 config.Vocabulary; int64 config.Hidden ]
          yield! List.collect layer [ 0 .. config.Layers - 1 ]
          finalNorm, [ int64 config.Hidden ]
          if config.HasOwnLanguageHead then
              $"{head}.weight", [ int64 config.Vocabulary; int64 config.Hidden ]
          yield! SequenceHead.tensors SequenceHead.score config ]

    let private ignorable (config: ModelConfig) (name: string) =
        name.EndsWith("rotary_emb.inv_freq", StringComparison.Ordinal)
        || (not config.HasOwnLanguageHead && name = $"{head}.weight")

    /// Files of the bare model, without a head, lack the prefix.
    let private rename =
        FamilyParts.withPrefix "model" [ "layers."; "embed_tokens."; "norm." ]

    /// Per-head norms work on the last dimension of [batch, seq, heads, head_dim].
    let private queryKeyNorm layout (config: ModelConfig) (weight: Tensor) : Tensor -> Tensor =
        let norm = layout.Norm config.NormEpsilon weight

        match layout.QueryKeyNorm with
        | QueryKeyNorm.PerHead ->
            fun x ->
                Scope.run (fun () ->
                    x.reshape (x.shape[0], x.shape[1], -1L, int64 config.Heads.HeadDim)
                    |> norm
                    |> _.reshape(x.shape))
        | _ -> norm

    let private block layout (config: ModelConfig) (weights: Weights) patterns layer : Block =
        let at name = $"model.layers.{layer}.{name}"
        let norm name = weights.Tensor(at $"{name}.weight")

        let find (entry: LinearEntry) =
            weights.Linear { entry with Name = at entry.Name }

        let around =
            Option.map (norm >> layout.Norm config.NormEpsilon) >> Option.defaultValue id

        let queryKey name =
            match layout.QueryKeyNorm with
            | QueryKeyNorm.Absent -> id
            | _ -> queryKeyNorm layout config (norm name)

        let pattern = config.Pattern layer
        let attention name = find (linear name config.AttentionBias)
        let mlp name = find (linear name config.MlpBias)

        Blocks.sequential
            { BeforeAttention = around layout.BeforeAttention
              AfterAttention = around layout.AfterAttention
              BeforeMlp = around layout.BeforeMlp
              AfterMlp = around layout.AfterMlp }
            (Attention.self
                { Shape = config.Heads
                  Scale = config.AttentionScale
                  Softcap = config.AttentionSoftcap
                  Mask = Array.IndexOf(patterns, pattern)
                  Rope =
                    Some(
                        match config.LocalRopeTheta, pattern with
                        | Some _, AttentionPattern.Sliding _ -> 1
                        | _ -> 0
                    ) }
                { QueryKeyValue =
                    if layout.Joined then
                        QueryKeyValue.Joined(attention "self_attn.qkv_proj")
                    else
                        QueryKeyValue.Separate(
                            attention "self_attn.q_proj",
                            attention "self_attn.k_proj",
                            attention "self_attn.v_proj"
                        )
                  QueryNorm = queryKey "self_attn.q_norm"
                  KeyNorm = queryKey "self_attn.k_norm"
                  Output = find (attentionOutput layout config) }
                layer)
            (Mlp.gated
                (Activation.ofName config.Activation)
                { GateAndUp =
                    if layout.Joined then
                        GateAndUp.Joined(mlp "mlp.gate_up_proj")
                    else
                        GateAndUp.Separate(mlp "mlp.gate_proj", mlp "mlp.up_proj")
                  Down = find (down config) })

    /// √hidden, rounded to the model's dtype as transformers does.
    let private embeddingScale (config: ModelConfig) (dtype: torch.ScalarType) =
        use _ = torch.NewDisposeScope()
        torch.tensor(sqrt (float32 config.Hidden)).``to``(dtype).``to``(torch.float32).item<float32>()

    let private build layout (config: ModelConfig) (weights: Weights) : Transformer =
        let embeddings = weights.Tensor embedding
        let dtype, device = embeddings.dtype, embeddings.device

        let patterns =
            [| for layer in 0 .. config.Layers - 1 -> config.Pattern layer |]
            |> Array.distinct

        let turning = int (float config.Heads.HeadDim * config.RotaryShare)

        let scale =
            if layout.ScaledEmbedding then
                Some(embeddingScale config dtype)
            else
                None

        { Config = config
          Dtype = dtype
          Device = device
          Prepare =
            fun context ->
                let tables = Rotary.tables dtype device turning

                { context with
                    Masks = patterns |> Array.map (fun pattern -> Context.mask dtype device pattern context)
                    Rotary =
                        [| tables config.RopeTheta config.RopeScaling context
                           match config.LocalRopeTheta with
                           | Some theta -> tables theta RopeScaling.Default context
                           | None -> () |] }
          Embed =
            fun _ ids ->
                match scale with
                | None -> ids |> Embedding.rows embeddings
                | Some scale -> Scope.run (fun () -> (ids |> Embedding.rows embeddings) *. scale)
          Blocks = Array.init config.Layers (block layout config weights patterns)
          Norm = layout.Norm config.NormEpsilon (weights.Tensor finalNorm)
          LanguageHead = FamilyParts.languageHead config weights embeddings head
          Taps = Array.create config.Layers Transformer.identityTap }

    /// <summary>Reads the keys that all rotary decoders share.</summary>
    /// <param name="standard">The family, and what its class in transformers has where the file says nothing.</param>
    /// <param name="headDim">The width of a head that the class has; <c>None</c> divides.</param>
    /// <param name="json">The file.</param>
    let readConfig (standard: ModelConfig) (headDim: int option) (json: JsonValue) : ModelConfig =
        let hidden = ConfigKeys.width "hidden_size" json

        { standard with
            Hidden = hidden
            Layers = ConfigKeys.layers "num_hidden_layers" json
            Heads = ConfigKeys.heads hidden headDim json
            Intermediate = ConfigKeys.inner "intermediate_size" json
            Vocabulary = ConfigKeys.vocabulary json
            Context = ConfigKeys.context "max_position_embeddings" standard.Context json
            NormEpsilon =
                json
                |> ConfigKeys.optional "rms_norm_eps" JsonValue.positive standard.NormEpsilon
            TiedHead =
                json
                |> ConfigKeys.optional "tie_word_embeddings" JsonValue.bool standard.TiedHead
            Activation = json |> ConfigKeys.activation "hidden_act" standard.Activation }
        |> RopeKeys.read json
        |> ConfigKeys.withTokenIds json

    /// <summary>Writes what <see cref="M:Reft.Core.RotaryDecoder.readConfig"/> reads.</summary>
    let writeConfig (config: ModelConfig) (writer: Utf8JsonWriter) : unit =
        writer.WriteNumber("hidden_size", config.Hidden)
        writer.WriteNumber("num_hidden_layers", config.Layers)
        writer.WriteNumber("num_attention_heads", config.Heads.Heads)
        writer.WriteNumber("num_key_value_heads", config.Heads.KvHeads)
        writer.WriteNumber("head_dim", config.Heads.HeadDim)
        writer.WriteNumber("intermediate_size", config.Intermediate)
        writer.WriteNumber("vocab_size", config.Vocabulary)
        writer.WriteNumber("max_position_embeddings", config.Context)
        writer.WriteNumber("rms_norm_eps", config.NormEpsilon)
        RopeKeys.write config writer
        writer.WriteBoolean("tie_word_embeddings", config.TiedHead)
        writer.WriteString("hidden_act", config.Activation)
        ConfigKeys.writeTokenIds config writer

    /// <summary>A family of this kind, whose file has the shared keys alone.</summary>
    /// <param name="architecture">Its class in transformers.</param>
    /// <param name="standard">Its name, and what its class has where a file says nothing.</param>
    /// <param name="layout">In what it differs.</param>
    let family (architecture: string) (standard: ModelConfig) (layout: RotaryLayout) : Family =
        { Name = standard.Family
          Architecture = architecture
          SequenceHead = SequenceHead.score
          ReadConfig = readConfig standard None
          WriteConfig = writeConfig
          Tensors = tensors layout
          Ignorable = ignorable
          Rename = rename
          Build = build layout }
