namespace Reft.Core

/// <summary>A place inside a transformer block at which an intervention can act.</summary>
[<RequireQualifiedAccess>]
type Component =
    /// The block's input: the residual stream before it. [batch, seq, hidden]
    | BlockInput
    /// The attention's input, after the norm. [batch, seq, hidden]
    | AttentionInput
    /// The queries, before the rotary embedding. [batch, seq, heads × head_dim]
    | Query
    /// The keys, before the rotary embedding. [batch, seq, kv_heads × head_dim]
    | Key
    /// The values. [batch, seq, kv_heads × head_dim]
    | Value
    /// The attention-weighted values of all heads, before the output projection. [batch, seq, heads × head_dim]
    | AttentionValue
    /// The attention's output, before it joins the residual stream. [batch, seq, hidden]
    | AttentionOutput
    /// The MLP's input, after the norm. [batch, seq, hidden]
    | MlpInput
    /// The gate of a gated MLP after its activation function, before it multiplies the up projection: pyvene's
    /// mlp_activation. [batch, seq, intermediate]
    | MlpGate
    /// The MLP's inner activation, before the down projection. TransformerLens's mlp.hook_post. [batch, seq, intermediate]
    | MlpActivation
    /// The MLP's output, before it joins the residual stream. [batch, seq, hidden]
    | MlpOutput
    /// The block's output: the residual stream after it. [batch, seq, hidden]
    | BlockOutput

/// <summary>The names of components.</summary>
[<RequireQualifiedAccess>]
module Component =

    /// <summary>Every component, in the order in which a block computes them, with its name in files.</summary>
    let names: (Component * string) list =
        [ Component.BlockInput, "block_input"
          Component.AttentionInput, "attention_input"
          Component.Query, "query"
          Component.Key, "key"
          Component.Value, "value"
          Component.AttentionValue, "attention_value"
          Component.AttentionOutput, "attention_output"
          Component.MlpInput, "mlp_input"
          Component.MlpGate, "mlp_gate"
          Component.MlpActivation, "mlp_activation"
          Component.MlpOutput, "mlp_output"
          Component.BlockOutput, "block_output" ]

    /// <summary>The name of a component in files and messages, e.g. <c>block_output</c>.</summary>
    let name (wanted: Component) : string =
        names |> List.find (fst >> (=) wanted) |> snd

    /// <summary>The component of a name, if it is one.</summary>
    let tryParse (text: string) : Component option =
        names |> List.tryFind (snd >> (=) text) |> Option.map fst
