module Reft.Core.Tests.Sites.SiteNamesTests

open Expecto
open FsCheck
open Reft.Core
open Reft.Core.Tests

let private same: (string * Site) list =
    let at layer place = Site.create layer place

    [ // pyvene's keys, of today and from before 0.1.7.
      "layer_8_comp_block_output_unit_pos_nunit_1#0", at 8 Component.BlockOutput
      "layer_8_comp_block_output_unit_pos_nunit_1#1", at 8 Component.BlockOutput
      "layer.8.comp.block_output.unit.pos.nunit.1#0", at 8 Component.BlockOutput
      "layer_0_comp_block_input_unit_pos_nunit_4#0", at 0 Component.BlockInput
      "layer_3_comp_attention_input_unit_pos_nunit_1#0", at 3 Component.AttentionInput
      "layer_3_comp_query_output_unit_pos_nunit_1#0", at 3 Component.Query
      "layer_3_comp_key_output_unit_pos_nunit_1#0", at 3 Component.Key
      "layer_3_comp_value_output_unit_pos_nunit_1#0", at 3 Component.Value
      "layer_3_comp_head_query_output_unit_h_nunit_1#0", at 3 Component.Query
      "layer_3_comp_head_key_output_unit_h_nunit_1#0", at 3 Component.Key
      "layer_3_comp_head_value_output_unit_h.pos_nunit_1#0", at 3 Component.Value
      "layer_12_comp_attention_value_output_unit_pos_nunit_1#0", at 12 Component.AttentionValue
      "layer_12_comp_head_attention_value_output_unit_h.pos_nunit_1#0", at 12 Component.AttentionValue
      "layer.12.comp.head_attention_value_output.unit.h.pos.nunit.1#0", at 12 Component.AttentionValue
      "layer_3_comp_attention_output_unit_pos_nunit_1#0", at 3 Component.AttentionOutput
      "layer_3_comp_mlp_input_unit_pos_nunit_1#0", at 3 Component.MlpInput
      "layer_3_comp_mlp_activation_unit_pos_nunit_1#0", at 3 Component.MlpGate
      "layer_3_comp_mlp_output_unit_pos_nunit_1#0", at 3 Component.MlpOutput
      "comp_model_layers[15]_output_unit_pos_nunit_1#0", at 15 Component.BlockOutput
      "comp_base_model_model_model_layers[15]_mlp_output_unit_pos_nunit_1#0", at 15 Component.MlpOutput
      "comp.model.layers[15].output.unit.pos.nunit.1#0", at 15 Component.BlockOutput
      // Paths of modules.
      "model.layers[15].output", at 15 Component.BlockOutput
      "layers[15].output", at 15 Component.BlockOutput
      "base_model.model.model.layers[15].output", at 15 Component.BlockOutput
      "model.layers[15].input", at 15 Component.BlockInput
      "model.layers[15].mlp.output", at 15 Component.MlpOutput
      "model.layers[15].mlp.input", at 15 Component.MlpInput
      "model.layers[15].mlp.act_fn.output", at 15 Component.MlpGate
      "model.layers[15].mlp.down_proj.input", at 15 Component.MlpActivation
      "model.layers[15].mlp.down_proj.output", at 15 Component.MlpOutput
      "model.layers[15].self_attn.output", at 15 Component.AttentionOutput
      "model.layers[15].self_attn.input", at 15 Component.AttentionInput
      "model.layers[15].self_attn.o_proj.input", at 15 Component.AttentionValue
      "model.layers[15].self_attn.o_proj.output", at 15 Component.AttentionOutput
      "model.layers[15].self_attn.q_proj.output", at 15 Component.Query
      "model.layers[15].self_attn.k_proj.output", at 15 Component.Key
      "model.layers[15].self_attn.v_proj.output", at 15 Component.Value
      "model.layers[15].input_layernorm.output", at 15 Component.AttentionInput
      "model.layers[15].post_attention_layernorm.output", at 15 Component.MlpInput
      // TransformerLens's hooks.
      "blocks.7.hook_resid_pre", at 7 Component.BlockInput
      "blocks.7.hook_resid_post", at 7 Component.BlockOutput
      "blocks.7.hook_attn_out", at 7 Component.AttentionOutput
      "blocks.7.hook_mlp_out", at 7 Component.MlpOutput
      "blocks.7.attn.hook_q", at 7 Component.Query
      "blocks.7.attn.hook_k", at 7 Component.Key
      "blocks.7.attn.hook_v", at 7 Component.Value
      "blocks.7.attn.hook_z", at 7 Component.AttentionValue
      "blocks.7.mlp.hook_post", at 7 Component.MlpActivation ]

/// Names of other libraries with no equal, and what the refusal must say.
let private others: (string * string list) list =
    [ "layer_3_comp_attention_weight_unit_pos_nunit_1#0", [ "pairs of tokens" ]
      "layer_3_comp_router_output_unit_pos_nunit_1#0", [ "block_output"; "found 'router_output'" ]
      "model.layers[3].mlp.gate_proj.output", [ "gated MLP" ]
      "model.layers[3].self_attn.q_proj.input", [ "attention_input" ]
      "model.layers[3].input_layernorm.input", [ "residual stream" ]
      "model.layers[3].post_attention_layernorm.input", [ "attention_output" ]
      "model.layers[3].nowhere", [ "self_attn.o_proj.input"; "found 'nowhere'" ]
      "blocks.7.hook_resid_mid", [ "attention_output" ]
      "blocks.7.ln1.hook_normalized", [ "before the norm's own weight" ]
      "blocks.7.ln2.hook_normalized", [ "before the norm's own weight" ]
      "blocks.7.ln1.hook_scale", [ "divisor" ]
      "blocks.7.attn.hook_pattern", [ "pairs of tokens" ]
      "blocks.7.attn.hook_attn_scores", [ "pairs of tokens" ]
      "blocks.7.attn.hook_rot_q", [ "after the rotary" ]
      "blocks.7.attn.hook_rot_k", [ "after the rotary" ]
      "blocks.7.attn.hook_result", [ "attention_value" ]
      "blocks.7.mlp.hook_pre", [ "before the activation" ]
      "blocks.7.mlp.hook_pre_linear", [ "before the activation" ]
      "blocks.7.hook_attn_in", [ "copy of the residual stream" ]
      "blocks.7.hook_q_input", [ "copy of the residual stream" ]
      "blocks.7.hook_mlp_in", [ "copy of the residual stream" ]
      "blocks.7.hook_nothing", [ "hook_resid_post"; "found 'hook_nothing'" ] ]

[<Tests>]
let tests =
    testList
        "Site names"
        [ for text, site in same do
              test $"{text} reads as {site}" { Expect.equal (Site.parse text) site text }

          for text, says in others do
              test $"{text} is refused with the reason" {
                  Golden.throwsWith<System.ArgumentException> (text :: says) (fun () -> Site.parse text |> ignore)
              }

          testProperty "what is printed reads back" (fun (NonNegativeInt layer) ->
              Component.names
              |> List.forall (fun (place, _) ->
                  let site = Site.create layer place
                  Site.parse (string site) = site))

          test "what is no name is refused with the forms" {
              for text in
                  [ ""
                    "layers"
                    "layers.x.block_output"
                    "layers.-1.block_output"
                    "layers.1.nowhere"
                    "layers.1.query.heads.3-1"
                    "layers.1.block_output.heads.0-1"
                    "layers[1]"
                    "blocks.1"
                    "layer_1_comp_block_output"
                    "model.layers[99999999999].output"
                    "blocks.99999999999.hook_resid_pre" ] do
                  Expect.throwsT<System.ArgumentException> (fun () -> Site.parse text |> ignore) text
          } ]
