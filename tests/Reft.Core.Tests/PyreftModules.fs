/// pyreft's modules as ours, for the tests with numbers that pyreft computed.
module Reft.Core.Tests.PyreftModules

open Expecto
open Reft.Core

/// pyreft's name of a parameter, ours, its role.
let names =
    [ "rotate_layer.parametrizations.weight.original", "rotation", Role.Undecayed
      "learned_source.weight", "weight", Role.Decayed
      "learned_source.bias", "bias", Role.Undecayed
      "learned_source", "source", Role.Undecayed
      "proj_layer.weight", "projection", Role.Decayed
      "proj_layer.bias", "projection_bias", Role.Undecayed ]

/// The parameters of a module in our layout, torch's constant base last; `find` reads by pyreft's names, those that the
/// module has not give nothing.
let parameters (find: string -> Tensor option) (basis: Tensor option) : Parameters =
    Parameters
        [ for theirs, ours, role in names do
              match find theirs with
              | Some value -> Parameters.entry role ours value
              | None -> ()

          match basis with
          | Some basis -> Parameters.entry Role.Constant "base" basis
          | None -> () ]

/// The name of our method for one of pyreft's classes, and whether it has an orthonormal R.
let private methodOf cls =
    match cls with
    | "LoreftIntervention" -> "loreft", true
    | "NoreftIntervention" -> "noreft", false
    | "ConsreftIntervention" -> "consreft", true
    | "LobireftIntervention" -> "lobireft", true
    | "DireftIntervention" -> "direft_orthonormal", true
    | "NodireftIntervention" -> "direft_paper", false
    | other -> failtestf "%s: no such class" other

/// Whether pyreft's class has an orthonormal R.
let isOrthonormal (cls: string) : bool = snd (methodOf cls)

/// Our intervention for one of pyreft's classes with its arguments.
let intervention (map: OrthonormalMap) (rank: int) (cls: string) (arguments: JsonValue) : Intervention =
    let name, orthonormal = methodOf cls

    let options =
        [ "rank", FormOption.Int rank
          match arguments |> JsonValue.tryField "act_fn" with
          | Some name -> "activation", FormOption.Text(JsonValue.string name)
          | None -> ()
          match arguments |> JsonValue.tryField "add_bias" with
          | Some flag -> "bias", FormOption.Flag(JsonValue.bool flag)
          | None -> ()
          if orthonormal then
              "orthonormal", FormOption.Text map.Name ]

    Registry.intervention Registry.standard (Form.Method(name, options))
