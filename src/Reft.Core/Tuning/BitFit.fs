namespace Reft.Core

open TorchSharp

/// <summary>
/// BitFit (Ben Zaken et al., arXiv 2106.10199): the biases alone are trained, those of the blocks' linear maps and of the
/// model's norms. A linear map that has none, as in Llama, gets one that is 0 at the start; an RMSNorm has no place for one.
/// </summary>
/// <remarks>The biases are fp32, and rounded to the model's dtype in each step. A classification head is trained beside them.</remarks>
[<RequireQualifiedAccess>]
module BitFit =

    [<Literal>]
    let private Prefix = "bitfit"

    /// <summary>The name of a map's or norm's bias among the parameters.</summary>
    let nameOf (part: string) : string = $"{Prefix}.{part}.bias"

    let private entries (make: string -> int64 list -> Tensor option -> Parameter) (loaded: LoadedModel) =
        let parts = ModelParts.ofModel loaded
        let isOfBase = ModelParts.isOfBase parts

        [ for entry, linear in ModelParts.ofBlocks parts do
              make (nameOf entry.Name) [ Linear.outputs linear ] linear.Bias
          for name, tensor in parts.Others do
              if ModelParts.lastPart name = "bias" && isOfBase name then
                  make $"{Prefix}.{name}" (List.ofArray tensor.shape) (Some tensor) ]
        |> Parameters

    let private model (loaded: LoadedModel) (theta: Parameters) =
        let cast (p: Tensor) = p.``to`` loaded.Model.Dtype

        loaded.Build(fun weights ->
            { Tensor =
                fun name ->
                    match theta.TryFind $"{Prefix}.{name}" with
                    | Some trained -> cast trained
                    | None -> weights.Tensor name
              Linear =
                fun entry ->
                    let linear = weights.Linear entry

                    match theta.TryFind(nameOf entry.Name) with
                    | Some trained ->
                        { linear with
                            Bias = Some(cast trained) }
                    | None -> linear })

    let private merge (loaded: LoadedModel) (theta: Parameters) =
        for p in theta.Entries do
            let name = p.Name.Substring(Prefix.Length + 1)

            if
                p.Name.StartsWith(Prefix + ".", System.StringComparison.Ordinal)
                && not (loaded.Tensors.ContainsKey name)
            then
                invalidOp
                    $"a {loaded.Config.Family} model has no place for the bias '{name}' that was trained: save it as an adapter"

        ModelTuning.replaced loaded (fun name -> theta.TryFind $"{Prefix}.{name}")

    /// <summary>The tuning.</summary>
    let create: ModelTuning =
        { Form = Form.Method("bitfit", [])
          Blank = entries (fun name shape _ -> ModelTuning.blank Role.Undecayed name shape)
          Init =
            fun loaded _ ->
                loaded
                |> entries (fun name shape found ->
                    Scope.run (fun () ->
                        match found with
                        | Some bias -> bias.detach().``to``(torch.float32, copy = true)
                        | None ->
                            torch.zeros (List.toArray shape, dtype = torch.float32, device = loaded.Model.Device))
                    |> Parameters.entry Role.Undecayed name)
          Model = model
          Noisy = None
          Merge = merge }
