namespace Reft.Core

open TorchSharp

/// <summary>
/// The last-layer probe of a language model: the map from the last hidden state to the vocabulary alone is trained, as a
/// copy of its own where it is tied to the embeddings. What classification heads do alone: train one with an empty spec.
/// </summary>
[<RequireQualifiedAccess>]
module LastLayer =

    [<Literal>]
    let private Weight = "probe.weight"

    [<Literal>]
    let private Bias = "probe.bias"

    let private entries (make: Role -> string -> Tensor -> Parameter) (loaded: LoadedModel) =
        let map = (Transformer.causalHead loaded.Model).Map

        let weight =
            match map.Weight with
            | LinearWeight.Dense weight -> weight
            | _ -> invalidOp "the map of a language-model head is a matrix [vocabulary, hidden]"

        [ make Role.Decayed Weight weight
          match map.Bias with
          | Some bias -> make Role.Undecayed Bias bias
          | None -> () ]
        |> Parameters

    let private model (loaded: LoadedModel) (theta: Parameters) =
        let head = Transformer.causalHead loaded.Model
        let cast (p: Tensor) = p.``to`` loaded.Model.Dtype

        { loaded.Model with
            LanguageHead =
                Some
                    { head with
                        Map =
                            { head.Map with
                                Weight = LinearWeight.Dense(cast theta[Weight])
                                Bias = theta.TryFind Bias |> Option.map cast } } }

    /// <summary>The tuning.</summary>
    let create: ModelTuning =
        { Form = Form.Method("probe", [])
          Blank = entries (fun role name tensor -> ModelTuning.blank role name (List.ofArray tensor.shape))
          Init =
            fun loaded _ ->
                loaded
                |> entries (fun role name tensor ->
                    Scope.run (fun () -> tensor.detach().``to``(torch.float32, copy = true))
                    |> Parameters.entry role name)
          Model = model
          Noisy = None
          Merge =
            fun loaded theta ->
                if loaded.Config.TiedHead then
                    invalidOp
                        "the model's head is tied to its embeddings, and a folder cannot hold a head of its own beside them: save it as an adapter"

                let head =
                    (ModelParts.ofModel loaded).Linears
                    |> List.filter (fun (entry, _) -> not entry.OfBlock)

                ModelTuning.replaced loaded (fun name ->
                    head
                    |> List.tryPick (fun (entry, _) ->
                        if name = $"{entry.Name}.weight" then Some theta[Weight]
                        elif name = $"{entry.Name}.bias" then theta.TryFind Bias
                        else None)) }
