namespace Reft.Core

open TorchSharp

/// <summary>
/// Full fine-tuning: every weight of the model is trained, from fp32 copies that are rounded to the model's dtype in each
/// step. Weight decay shrinks matrices and embeddings, never norms and biases. A head that is tied to the embeddings stays
/// tied.
/// </summary>
[<RequireQualifiedAccess>]
module FullTuning =

    [<Literal>]
    let private Prefix = "full"

    /// <summary>The name of a tensor of the model among the parameters, e.g. <c>full.model.norm.weight</c>.</summary>
    let nameOf (tensor: string) : string = $"{Prefix}.{tensor}"

    let private tensors (loaded: LoadedModel) =
        let parts = ModelParts.ofModel loaded
        ModelParts.refuseInt8 "full fine-tuning" parts

        [ yield! parts.Others
          for entry, linear in parts.Linears do
              match linear.Weight with
              | LinearWeight.Dense weight
              | LinearWeight.Transposed weight -> $"{entry.Name}.weight", weight
              | LinearWeight.Int8 _ -> ()

              match linear.Bias with
              | Some bias -> $"{entry.Name}.bias", bias
              | None -> () ]

    let private entries (make: Role -> string -> Tensor -> Parameter) (loaded: LoadedModel) =
        tensors loaded
        |> List.map (fun (name, tensor: Tensor) ->
            make (if tensor.dim () > 1L then Role.Decayed else Role.Undecayed) (nameOf name) tensor)
        |> Parameters

    let private model (loaded: LoadedModel) (theta: Parameters) =
        let dtype = loaded.Model.Dtype
        let find name = theta[nameOf name].``to`` dtype

        loaded.Build(fun weights ->
            let own = Weights.ofTensors find

            { Tensor = find
              Linear =
                fun entry ->
                    // Updates of an adapter that was loaded with the model stay as they are.
                    let linear = weights.Linear entry
                    let trained = own.Linear entry

                    { linear with
                        Weight = trained.Weight
                        Bias = trained.Bias } })

    /// <summary>The tuning.</summary>
    let create: ModelTuning =
        { Form = Form.Method("full", [])
          Blank = entries (fun role name tensor -> ModelTuning.blank role name (List.ofArray tensor.shape))
          Init =
            fun loaded _ ->
                loaded
                |> entries (fun role name tensor ->
                    Scope.run (fun () -> tensor.detach().``to``(torch.float32, copy = true))
                    |> Parameters.entry role name)
          Model = model
          Noisy = None
          Merge = fun loaded theta -> ModelTuning.replaced loaded (fun name -> theta.TryFind(nameOf name)) }
