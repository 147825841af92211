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

/// <summary>A run of attention heads: <c>First</c>, <c>First</c> + 1, … (<c>Count</c> of them).</summary>
[<Struct>]
type HeadRange =
    {
        /// The first head, from 0.
        First: int
        /// How many heads.
        Count: int
    }

/// <summary>Where in a model: a layer, a component of it, and some of its heads or all.</summary>
type Site =
    {
        /// The block, from 0.
        Layer: int
        /// The place in the block.
        Component: Component
        /// Only these heads; <c>None</c> is the whole component. Only query, key, value and attention value have heads.
        Heads: HeadRange option
    }

    /// <summary><c>layers.7.block_output</c>, or <c>layers.7.attention_value.heads.0-3</c>.</summary>
    override site.ToString() =
        let heads =
            match site.Heads with
            | None -> ""
            | Some range -> $".heads.{range.First}-{range.First + range.Count - 1}"

        $"layers.{site.Layer}.{Component.name site.Component}{heads}"

/// <summary>Making and reading sites.</summary>
[<RequireQualifiedAccess>]
module Site =

    /// <summary>A whole component of a layer.</summary>
    let create (layer: int) (place: Component) : Site =
        { Layer = layer
          Component = place
          Heads = None }

    let private hasHeads place =
        match place with
        | Component.Query
        | Component.Key
        | Component.Value
        | Component.AttentionValue -> true
        | _ -> false

    /// <summary>Only some heads of a site.</summary>
    /// <exception cref="T:System.ArgumentException">The component has no heads, or the range is empty.</exception>
    let heads (first: int) (count: int) (site: Site) : Site =
        if not (hasHeads site.Component) then
            invalidArg (nameof site) $"{site} has no heads: expected one of query, key, value, attention_value"

        if first < 0 || count < 1 then
            invalidArg (nameof first) $"expected a first head ≥ 0 and at least one head, found {first} and {count}"

        { site with
            Heads = Some { First = first; Count = count } }

    /// <summary>Reads what <c>Site.ToString</c> prints.</summary>
    /// <exception cref="T:System.ArgumentException">The text is no site: the message gives the form and the components.</exception>
    let parse (text: string) : Site =
        let refuse () =
            let known = Component.names |> List.map snd |> String.concat ", "

            invalidArg
                (nameof text)
                $"'{text}' is not a site: expected layers.N.COMPONENT or layers.N.COMPONENT.heads.A-B, where COMPONENT is one of {known}"

        let number (text: string) =
            match System.Int32.TryParse text with
            | true, value when value >= 0 -> value
            | _ -> refuse ()

        match text.Split '.' with
        | [| "layers"; layer; place |] ->
            match Component.tryParse place with
            | Some place -> create (number layer) place
            | None -> refuse ()
        | [| "layers"; layer; place; "heads"; range |] ->
            match Component.tryParse place, range.Split '-' with
            | Some place, [| first; last |] when number last >= number first ->
                create (number layer) place
                |> heads (number first) (number last - number first + 1)
            | _ -> refuse ()
        | _ -> refuse ()
