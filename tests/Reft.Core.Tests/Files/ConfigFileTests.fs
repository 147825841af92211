module Reft.Core.Tests.Files.ConfigFileTests

open System.IO
open System.Text.Json.Nodes
open Expecto
open Reft.Core
open Reft.Core.Tests

let private minimal =
    """{"model_type":"llama","hidden_size":64,"num_hidden_layers":2,"num_attention_heads":4,"intermediate_size":96,"vocab_size":100}"""

let private read (json: string) =
    let mutable config = None

    Golden.inTemporaryFolder (fun folder ->
        let path = Path.Combine(folder, "config.json")
        File.WriteAllText(path, json)
        config <- Some(ConfigFile.read path))

    config.Value

/// The minimal file with a key set to a JSON value.
let private withKey (key: string) (value: string) =
    match JsonNode.Parse minimal with
    | :? JsonObject as node ->
        node[key] <- JsonNode.Parse value
        node.ToJsonString()
    | _ -> failtest "not an object"

let private without (key: string) =
    match JsonNode.Parse minimal with
    | :? JsonObject as node ->
        node.Remove key |> ignore
        node.ToJsonString()
    | _ -> failtest "not an object"

let private refuses fragments json =
    Golden.throwsWith<InvalidDataException> ("config.json" :: fragments) (fun () -> read json |> ignore)

[<Tests>]
let tests =
    testList
        "ConfigFile"
        [ test "what is absent is what transformers takes it for" {
              let config = read minimal

              Expect.equal config.Heads { Heads = 4; KvHeads = 4; HeadDim = 16 } "heads"
              Expect.equal config.NormEpsilon 1e-6 "rms_norm_eps"
              Expect.equal config.RopeTheta 10000.0 "rope_theta"
              Expect.equal config.RopeScaling RopeScaling.Default "rope scaling"
              Expect.equal config.Context 2048 "max_position_embeddings"
              Expect.equal config.Activation "silu" "hidden_act"
              Expect.isFalse (config.TiedHead || config.AttentionBias || config.MlpBias) "flags"
              Expect.equal (config.BosId, config.EosIds, config.PadId) (Some 1, [ 2 ], None) "tokens"
          }

          test "both styles say the same" {
              for name in [ "llama"; "llama31_rope"; "llama_bias_tied" ] do
                  let at file =
                      ConfigFile.read (Golden.path [ "a_models"; name; "model"; file ])

                  Expect.equal (at "config.v4.json") (at "config.json") name

              let llama3 =
                  """{"rope_type":"llama3","factor":8.0,"low_freq_factor":1.0,"high_freq_factor":4.0,"original_max_position_embeddings":8192}"""

              Expect.equal
                  (read (withKey "rope_scaling" llama3)).RopeScaling
                  (RopeScaling.Llama3(8.0, 1.0, 4.0, 8192))
                  "llama3"

              Expect.equal
                  (read (withKey "rope_scaling" """{"type":"linear","factor":2.0}""")).RopeScaling
                  (RopeScaling.Linear 2.0)
                  "linear, with the old key 'type'"

              Expect.equal
                  (read (withKey "rope_parameters" """{"rope_theta":5e5,"rope_type":"default"}""")).RopeTheta
                  5e5
                  "theta"
          }

          test "special tokens: numbers, lists and null" {
              Expect.equal (read (withKey "eos_token_id" "[7, 9, 7]")).EosIds [ 7; 9 ] "a list"
              Expect.equal (read (withKey "eos_token_id" "7")).EosIds [ 7 ] "a number"
              Expect.equal (read (withKey "eos_token_id" "null")).EosIds [] "null"
              Expect.equal (read (withKey "bos_token_id" "null")).BosId None "null"
              Expect.equal (read (withKey "pad_token_id" "-1")).PadId None "-1, as old files write"
          }

          test "the generation's ends win over the model's" {
              Golden.inTemporaryFolder (fun folder ->
                  File.WriteAllText(Path.Combine(folder, "config.json"), withKey "eos_token_id" "5")
                  let config = ConfigFile.ofFolder folder
                  Expect.equal (ConfigFile.eosIds folder config) [ 5 ] "without generation_config.json"
                  let generation = Path.Combine(folder, "generation_config.json")
                  File.WriteAllText(generation, "{}")
                  Expect.equal (ConfigFile.eosIds folder config) [ 5 ] "which says nothing"
                  File.WriteAllText(generation, """{"eos_token_id":[7,8]}""")
                  Expect.equal (ConfigFile.eosIds folder config) [ 7; 8 ] "which says 7 and 8")
          }

          test "missing keys are named" {
              for key in
                  [ "model_type"
                    "hidden_size"
                    "num_hidden_layers"
                    "num_attention_heads"
                    "intermediate_size"
                    "vocab_size" ] do
                  refuses [ $"'{key}'"; "missing" ] (without key)
          }

          test "values of the wrong kind or size are named, with what was expected and found" {
              refuses [ "'hidden_size'"; "a whole number of 1 …"; "found \"64\"" ] (withKey "hidden_size" "\"64\"")
              refuses [ "'hidden_size'"; "found 64.5" ] (withKey "hidden_size" "64.5")
              refuses [ "'hidden_size'"; "found -64" ] (withKey "hidden_size" "-64")
              refuses [ "'num_hidden_layers'"; "1024" ] (withKey "num_hidden_layers" "2000000000")
              refuses [ "'num_attention_heads'"; "divisor of hidden_size (64)" ] (withKey "num_attention_heads" "5")

              refuses
                  [ "'num_key_value_heads'"; "divisor of num_attention_heads (4)" ]
                  (withKey "num_key_value_heads" "3")

              refuses [ "head_dim"; "even"; "found 7" ] (withKey "head_dim" "7")
              refuses [ "'rms_norm_eps'"; "above 0"; "found 0" ] (withKey "rms_norm_eps" "0")
              refuses [ "'rope_theta'"; "a finite number"; "found \"x\"" ] (withKey "rope_theta" "\"x\"")
          }

          test "what Reft does not compute is refused by name" {
              refuses [ "'model_type'"; "missing"; "llama, mistral" ] (without "model_type")
              refuses [ "'model_type'"; "llama"; "found \"t5\"" ] (withKey "model_type" "\"t5\"")

              refuses
                  [ "'rope_scaling.rope_type'"
                    "default, linear, dynamic, llama3"
                    "ntk-by-parts" ]
                  (withKey "rope_scaling" """{"rope_type":"ntk-by-parts","factor":2.0}""")

              refuses
                  [ "'rope_scaling.short_factor'"; "one per pair of turning dimensions" ]
                  (withKey "rope_scaling" """{"rope_type":"longrope","short_factor":[1.0],"long_factor":[2.0]}""")

              refuses
                  [ "'rope_scaling.factor'"; "above 0" ]
                  (withKey "rope_scaling" """{"rope_type":"linear","factor":0}""")

              refuses
                  [ "'factor'"; "in 'rope_scaling'"; "missing" ]
                  (withKey "rope_scaling" """{"rope_type":"linear"}""")

              refuses
                  [ "rotary embedding"; "above 0" ]
                  (withKey "rope_parameters" """{"rope_type":"linear","factor":1e-40}""")

              refuses [ "'rms_norm_eps'"; "fp32" ] (withKey "rms_norm_eps" "1e300")

              refuses
                  [ "sliding_attention.rope_type"; "default" ]
                  (withKey
                      "rope_parameters"
                      """{"full_attention":{"rope_theta":1e6},"sliding_attention":{"rope_type":"linear","factor":8}}""")

              refuses
                  [ "'quantization_config'"; "quantised by another library" ]
                  (withKey "quantization_config" """{"quant_method":"gptq","bits":4}""")

              refuses [ "'hidden_act'"; "silu"; "mish" ] (withKey "hidden_act" "\"mish\"")
          }

          test "files that are no JSON object are refused" {
              refuses [ "expected JSON" ] "{"
              refuses [ "expected JSON" ] ""
              refuses [ "expected an object"; "a list of 0" ] "[]"
              refuses [ "expected JSON"; "hidden_size" ] """{"model_type":"llama","hidden_size":1,"hidden_size":2}"""
              refuses [ "keys are valid Unicode" ] """{"model_type":"llama","\ud800":1}"""
              refuses [ "'model_type'"; "valid Unicode" ] """{"model_type":"\ud800"}"""
          } ]
