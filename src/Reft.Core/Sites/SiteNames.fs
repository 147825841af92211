namespace Reft.Core

open System
open System.Globalization
open System.Text.RegularExpressions

/// The names that other libraries give to places in a block, as data: those that mean the same values as ours, and those
/// that do not, with the reason.
[<RequireQualifiedAccess>]
module internal SiteNames =

    /// A layer's number: digits alone.
    let tryNumber (text: string) : int option =
        match Int32.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture) with
        | true, value -> Some value
        | _ -> None

    /// pyvene's components, of the families whose layers are rows of modules (its Llama table).
    let pyvene: (string * Component) list =
        [ "block_input", Component.BlockInput
          "attention_input", Component.AttentionInput
          "query_output", Component.Query
          "head_query_output", Component.Query
          "key_output", Component.Key
          "head_key_output", Component.Key
          "value_output", Component.Value
          "head_value_output", Component.Value
          "attention_value_output", Component.AttentionValue
          "head_attention_value_output", Component.AttentionValue
          "attention_output", Component.AttentionOutput
          "mlp_input", Component.MlpInput
          "mlp_activation", Component.MlpGate
          "mlp_output", Component.MlpOutput
          "block_output", Component.BlockOutput ]

    /// pyvene's name of a component, if it has one.
    let pyveneName (wanted: Component) : string option =
        pyvene |> List.tryFind (snd >> (=) wanted) |> Option.map fst

    let private ofGate =
        "of a gated MLP there are layers.N.mlp_gate, the gate after its activation function, and layers.N.mlp_activation, its product with the up projection"

    /// pyvene's components that have no equal.
    let pyveneOthers: (string * string) list =
        [ "attention_weight", "attention weights belong to pairs of tokens, not to one" ]

    /// The modules of Hugging Face's Llama below a layer, with the end that pyvene hooks.
    let paths: (string * Component) list =
        [ "input", Component.BlockInput
          "input_layernorm.output", Component.AttentionInput
          "self_attn.input", Component.AttentionInput
          "self_attn.q_proj.output", Component.Query
          "self_attn.k_proj.output", Component.Key
          "self_attn.v_proj.output", Component.Value
          "self_attn.o_proj.input", Component.AttentionValue
          "self_attn.o_proj.output", Component.AttentionOutput
          "self_attn.output", Component.AttentionOutput
          "post_attention_layernorm.output", Component.MlpInput
          "mlp.input", Component.MlpInput
          "mlp.act_fn.output", Component.MlpGate
          "mlp.down_proj.input", Component.MlpActivation
          "mlp.down_proj.output", Component.MlpOutput
          "mlp.output", Component.MlpOutput
          "output", Component.BlockOutput ]

    let private oneReader =
        "an edit there would reach one projection and not its neighbours; layers.N.attention_input and layers.N.mlp_input reach all of them"

    /// Ends of modules that have no equal.
    let pathOthers: (string * string) list =
        [ "input_layernorm.input",
          "an edit there would reach the attention and not the residual stream; layers.N.block_input reaches both"
          "post_attention_layernorm.input",
          "the residual stream between attention and MLP is no component here; layers.N.attention_output is what joins it"
          "self_attn.q_proj.input", oneReader
          "self_attn.k_proj.input", oneReader
          "self_attn.v_proj.input", oneReader
          "mlp.gate_proj.input", oneReader
          "mlp.up_proj.input", oneReader
          "mlp.act_fn.input", ofGate
          "mlp.gate_proj.output", ofGate
          "mlp.up_proj.output", ofGate ]

    /// TransformerLens's hooks below a block.
    let hooks: (string * Component) list =
        [ "hook_resid_pre", Component.BlockInput
          "attn.hook_q", Component.Query
          "attn.hook_k", Component.Key
          "attn.hook_v", Component.Value
          "attn.hook_z", Component.AttentionValue
          "hook_attn_out", Component.AttentionOutput
          "mlp.hook_post", Component.MlpActivation
          "hook_mlp_out", Component.MlpOutput
          "hook_resid_post", Component.BlockOutput ]

    let private beforeWeight =
        "it is the norm's output before the norm's own weight multiplies it; layers.N.attention_input and layers.N.mlp_input are after"

    let private afterRotary =
        "it is after the rotary embedding; layers.N.query and layers.N.key are before"

    let private pairs = "attention weights belong to pairs of tokens, not to one"

    let private perHeadInput =
        "it is a copy of the residual stream for one reader; layers.N.block_input is the stream itself, and layers.N.attention_input its normed form"

    let private beforeActivation =
        "it is before the activation function; layers.N.mlp_activation is after, times the up projection in a gated MLP"

    /// TransformerLens's hooks that have no equal.
    let hookOthers: (string * string) list =
        [ "hook_resid_mid",
          "the residual stream between attention and MLP is no component here; layers.N.attention_output is what joins it"
          "ln1.hook_normalized", beforeWeight
          "ln2.hook_normalized", beforeWeight
          "ln1.hook_scale", "it is the norm's divisor, not a hidden state"
          "ln2.hook_scale", "it is the norm's divisor, not a hidden state"
          "attn.hook_rot_q", afterRotary
          "attn.hook_rot_k", afterRotary
          "attn.hook_pattern", pairs
          "attn.hook_attn_scores", pairs
          "attn.hook_result",
          "it is each head's share of the attention's output; layers.N.attention_value is before the output projection, layers.N.attention_output the sum"
          "mlp.hook_pre", beforeActivation
          "mlp.hook_pre_linear", beforeActivation
          "hook_attn_in", perHeadInput
          "hook_q_input", perHeadInput
          "hook_k_input", perHeadInput
          "hook_v_input", perHeadInput
          "hook_mlp_in", perHeadInput ]

    let private key =
        Regex(
            @"^layer(?:_(?<layer>\d+)_comp_(?<name>\w+)_unit_[a-z.]+_nunit_\d+|\.(?<layer>\d+)\.comp\.(?<name>\w+)\.unit\.[a-z.]+\.nunit\.\d+)(?:#\d+)?$",
            RegexOptions.CultureInvariant
        )

    let private path =
        Regex(
            @"^(?:base_model\.model\.)?(?:model\.)?layers\[(?<layer>\d+)\]\.(?<name>.+)$",
            RegexOptions.CultureInvariant
        )

    let private pathKey =
        Regex(
            @"^comp[_.](?:base_model[_.]model[_.])?(?:model[_.])?layers\[(?<layer>\d+)\][_.](?<name>[\w.]+)[_.]unit[_.][a-z.]+[_.]nunit[_.]\d+(?:#\d+)?$",
            RegexOptions.CultureInvariant
        )

    let private hook =
        Regex(@"^blocks\.(?<layer>\d+)\.(?<name>.+)$", RegexOptions.CultureInvariant)

    let private lookUp library (same: (string * Component) list) (others: (string * string) list) spell (found: Match) =
        let name = found.Groups["name"].Value
        let isNamed (known: string, _) = spell known = name

        match List.tryFind isNamed same, List.tryFind isNamed others, tryNumber found.Groups["layer"].Value with
        | Some(_, place), _, Some layer -> Ok(layer, place)
        | None, Some(_, reason), Some _ -> Error $"{library}'s '{name}' has no equal here: {reason}"
        | _ ->
            let known = same |> List.map (fst >> spell) |> String.concat ", "
            Error $"of {library}'s names there are: {known}; found '{name}'"

    /// The layer and component of another library's name, or why it has none; nothing where it has no library's form.
    let tryParse (text: string) : Result<int * Component, string> option =
        [ key, lookUp "pyvene" pyvene pyveneOthers id
          path, lookUp "pyvene" paths pathOthers id
          pathKey, lookUp "pyvene" paths pathOthers (fun name -> name.Replace('.', '_'))
          hook, lookUp "TransformerLens" hooks hookOthers id ]
        |> List.tryPick (fun (form, read) ->
            let found = form.Match text
            if found.Success then Some(read found) else None)
