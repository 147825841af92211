namespace Reft.Core

open System
open System.Collections.Generic
open TorchSharp

/// <summary>
/// What a loaded model is built from, by name: found by building it once and writing down what its family asks for.
/// </summary>
[<NoEquality; NoComparison>]
type ModelParts =
    {
        /// Its linear maps, those of a head included.
        Linears: (LinearEntry * Linear) list
        /// Its other tensors: embeddings, norms, and what heads have besides maps.
        Others: (string * Tensor) list
    }

/// <summary>Taking models apart.</summary>
[<RequireQualifiedAccess>]
module ModelParts =

    /// <summary>The parts of a model, each once, in the order in which it is built.</summary>
    let ofModel (loaded: LoadedModel) : ModelParts =
        let linears = List<LinearEntry * Linear>()
        let others = List<string * Tensor>()
        let seen = HashSet<string>(StringComparer.Ordinal)

        loaded.Build(fun weights ->
            { Tensor =
                fun name ->
                    let tensor = weights.Tensor name

                    if seen.Add name then
                        others.Add(name, tensor)

                    tensor
              Linear =
                fun entry ->
                    let linear = weights.Linear entry

                    if seen.Add entry.Name then
                        linears.Add(entry, linear)

                    linear })
        |> ignore

        { Linears = List.ofSeq linears
          Others = List.ofSeq others }

    /// <summary>The maps of the blocks.</summary>
    let ofBlocks (parts: ModelParts) : (LinearEntry * Linear) list =
        parts.Linears |> List.filter (fun (entry, _) -> entry.OfBlock)

    /// <summary>The last part of a name, e.g. <c>q_proj</c>.</summary>
    let lastPart (name: string) : string =
        name.Substring(name.LastIndexOf '.' + 1)

    /// <summary>
    /// The maps of the blocks and the head whose names are one of <paramref name="modules"/> or end in one after a dot, as
    /// peft's <c>target_modules</c>; all maps of the blocks where there is none.
    /// </summary>
    /// <exception cref="T:System.ArgumentException">One of them is the end of no map's name: the message lists those that are.</exception>
    let chosen (modules: string list) (parts: ModelParts) : (LinearEntry * Linear) list =
        let isAt (name: string) (ending: string) =
            name = ending || name.EndsWith("." + ending, StringComparison.Ordinal)

        match modules with
        | [] -> ofBlocks parts
        | modules ->
            for ending in modules do
                if not (parts.Linears |> List.exists (fun (entry, _) -> isAt entry.Name ending)) then
                    let known =
                        parts.Linears
                        |> List.map (fun (entry, _) -> lastPart entry.Name)
                        |> List.distinct
                        |> String.concat ", "

                    invalidArg
                        (nameof modules)
                        $"the model has no linear map '{ending}': expected the last parts of its maps' names, {known}"

            parts.Linears
            |> List.filter (fun (entry, _) -> modules |> List.exists (isAt entry.Name))

    /// <summary>Refuses to train matrices that are kept as int8.</summary>
    /// <exception cref="T:System.ArgumentException">There is one.</exception>
    let refuseInt8 (subject: string) (parts: ModelParts) : unit =
        match
            parts.Linears
            |> List.tryFind (fun (_, linear) ->
                match linear.Weight with
                | LinearWeight.Int8 _ -> true
                | _ -> false)
        with
        | Some(entry, _) ->
            invalidArg
                (nameof parts)
                $"{subject} cannot be trained on an int8 model: the matrix '{entry.Name}' is whole numbers, which no small step changes. Load the model as stored, or train lora, which stays beside the matrices"
        | None -> ()

    /// <summary>Whether the tensor belongs to the model itself rather than to a head: its name begins as those of the blocks do.</summary>
    let isOfBase (parts: ModelParts) : string -> bool =
        let firstPart (name: string) = name.Split('.', 2)[0]

        match ofBlocks parts with
        | (entry, _) :: _ ->
            let trunk = firstPart entry.Name
            fun name -> firstPart name = trunk
        | [] -> fun _ -> true
