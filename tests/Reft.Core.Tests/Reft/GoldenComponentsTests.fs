module Reft.Core.Tests.Reft.GoldenComponentsTests

open Expecto
open TorchSharp
open Reft.Core
open Reft.Core.Syntax
open Reft.Core.Tests

let private folder = [ "d_e2e"; "components_forward" ]

/// pyvene's name of a component, its layer, and the tokens edited in each of the two rows.
let private cases =
    JsonValue.read 1_000_000 (Golden.path (folder @ [ "README.json" ]))
    |> JsonValue.field "cases"
    |> JsonValue.items
    |> List.map (fun case ->
        case |> JsonValue.field "component" |> JsonValue.string,
        case |> JsonValue.field "layer" |> JsonValue.int 0 100,
        case
        |> JsonValue.field "locations"
        |> JsonValue.items
        |> List.map (fun row -> row |> JsonValue.items |> List.map (JsonValue.int 0 100)))

let private componentOf name =
    match name with
    | "mlp_activation" -> Component.MlpGate
    | "attention_value_output" -> Component.AttentionValue
    | "query_output" -> Component.Query
    | "key_output" -> Component.Key
    | "value_output" -> Component.Value
    | _ -> Component.tryParse name |> Option.get

let private rows (golden: Map<string, Tensor>) name =
    let mask = Golden.spans golden["attention_mask"]

    golden[name].data<int64>().ToArray()
    |> Array.map int
    |> Array.chunkBySize (int golden[name].shape[1])
    |> Array.mapi (fun row values -> Array.truncate mask[row].Length values)

let private check (name, layer, locations: int list list) () =
    use loaded = Checkpoint.load (Golden.path [ "a_models"; "llama"; "model" ])
    let golden = Golden.tensors (folder @ [ "tensors.safetensors" ])
    let model = loaded.Model
    let ids, labels = rows golden "input_ids", rows golden "labels"

    let batch =
        Array.map2 (fun (ids: int[]) labels -> Example.ofLabels (Some ids.Length) ids labels) ids labels
        |> Array.toList
        |> Batch.create PaddingSide.Right

    let chosen =
        PositionFunction.create "golden" (fun row -> locations[ids |> Array.findIndex (fun own -> own = row.Ids)])

    let what =
        Loreft.create
            { Loreft.options 3 with
                Orthonormal = Orthonormal.householder }

    let site = Site.create layer (componentOf name)
    let spec = what |> at [ site ] (Positions.Function chosen)

    let values prefix =
        PyreftModules.parameters
            (fun theirs -> golden.TryFind $"{name}.{prefix}.{theirs}")
            (Some golden[$"{name}.base"])
        |> Parameters.prefixed (string site)

    let theta = values "param"
    let context = Batch.context model batch

    let logits =
        model
        |> Reft.attach spec theta context
        |> Transformer.logits context (Batch.ids model.Device batch)

    for row in 0 .. ids.Length - 1 do
        let own (t: Tensor) =
            t[int64 row].narrow(0L, 0L, int64 ids[row].Length)

        Golden.expectClose 1e-5 (own golden[$"{name}.logits"]) (own logits) $"logits of row {row}"

    let loss v =
        Loss.reft spec model batch (theta.OfVector v)

    Golden.expectClose 1e-5 (golden[$"{name}.loss"].squeeze 0L) (loss theta.Vector) "loss"
    let expected = values "grad"
    let gradient = dsharp.grad loss theta.Vector |> theta.OfVector
    Expect.equal expected.Names theta.Names "pyreft's parameters, every one"

    for p in expected.Entries do
        if p.IsTrainable then
            Golden.expectClose 1e-5 p.Value gradient[p.Name] $"∂ of {p.Name}"

[<Tests>]
let tests =
    testList
        "Golden components"
        [ for name, _, _ as case in cases do
              testCase name (fun () -> TinyModel.scoped (check case)) ]
