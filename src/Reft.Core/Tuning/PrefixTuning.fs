namespace Reft.Core

open TorchSharp

/// <summary>How a prefix is trained.</summary>
type PrefixMethod =
    {
        /// Virtual tokens.
        Length: int
        /// The inner width of the map that makes keys and values in training; <c>None</c> trains them themselves.
        Projection: int option
        /// The deviation of keys and values at the start, where they are trained themselves.
        Deviation: float
    }

/// <summary>
/// Prefix tuning (Li and Liang, arXiv 2101.00190): every layer's attention sees keys and values of virtual tokens, which
/// alone are trained, either themselves or as W₂ tanh(W₁ e + a) + b of embeddings e (their section 4.3).
/// </summary>
/// <remarks>
/// Virtual tokens have no position: the tokens of a row keep theirs, so that the context loses no room and learnt positions
/// mean what they did. peft counts the prefix; with rotary positions the two differ by a rotation of the learnt keys alone.
/// The first step does not find the base model: attention to the prefix takes weight from the tokens.
/// </remarks>
[<RequireQualifiedAccess>]
module PrefixTuning =

    [<Literal>]
    let private Name = "prefix"

    /// <summary>A length, trained directly.</summary>
    let options (length: int) : PrefixMethod =
        { Length = length
          Projection = None
          Deviation = 0.02 }

    /// <summary>The name of a layer's keys among the parameters, e.g. <c>prefix.layers.0.key</c>.</summary>
    let keyOf (layer: int) : string = $"{Name}.layers.{layer}.key"

    /// <summary>The name of a layer's values.</summary>
    let valueOf (layer: int) : string = $"{Name}.layers.{layer}.value"

    /// The numbers of all keys and values of a virtual token.
    let private numbers (config: ModelConfig) =
        int64 (2 * config.Layers * config.Heads.KvHeads * config.Heads.HeadDim)

    let private shapes (options: PrefixMethod) (config: ModelConfig) : (Role * string * int64 list) list =
        let n = int64 options.Length

        match options.Projection with
        | None ->
            let shape = [ int64 config.Heads.KvHeads; n; int64 config.Heads.HeadDim ]

            [ for layer in 0 .. config.Layers - 1 do
                  Role.Decayed, keyOf layer, shape
                  Role.Decayed, valueOf layer, shape ]
        | Some inner ->
            let inner, hidden = int64 inner, int64 config.Hidden

            [ Role.Decayed, $"{Name}.embedding", [ n; hidden ]
              Role.Decayed, $"{Name}.inner.weight", [ inner; hidden ]
              Role.Undecayed, $"{Name}.inner.bias", [ inner ]
              Role.Decayed, $"{Name}.outer.weight", [ numbers config; inner ]
              Role.Undecayed, $"{Name}.outer.bias", [ numbers config ] ]

    let private init (options: PrefixMethod) (loaded: LoadedModel) (rng: Rng) =
        shapes options loaded.Config
        |> List.mapi (fun i (role, name, shape) ->
            let rng = Rng.fork i rng

            let value =
                Scope.run (fun () ->
                    match options.Projection, name with
                    | None, _ -> Rng.normal shape rng *. float32 options.Deviation
                    | Some _, _ when name = $"{Name}.embedding" -> Rng.normal shape rng
                    // As torch.nn.Linear draws weights and biases.
                    | Some inner, _ ->
                        let inputs =
                            if name.Contains ".inner." then
                                loaded.Config.Hidden
                            else
                                inner

                        Start.linear inputs shape rng
                    |> _.``to``(loaded.Model.Device))

            Parameters.entry role name value)
        |> Parameters

    let private pairs (options: PrefixMethod) (loaded: LoadedModel) (theta: Parameters) : struct (Tensor * Tensor)[] =
        let config = loaded.Config
        let cast (p: Tensor) = p.``to`` loaded.Model.Dtype

        match options.Projection with
        | None -> Array.init config.Layers (fun layer -> struct (cast theta[keyOf layer], cast theta[valueOf layer]))
        | Some _ ->
            let map part (x: Tensor) =
                torch.nn.functional.linear (x, theta[$"{Name}.{part}.weight"], theta[$"{Name}.{part}.bias"])

            let all =
                (theta[$"{Name}.embedding"] |> map "inner" |> torch.tanh |> map "outer" |> cast)
                    .view(
                        int64 options.Length,
                        int64 config.Layers,
                        2L,
                        int64 config.Heads.KvHeads,
                        int64 config.Heads.HeadDim
                    )
                    .permute(1L, 2L, 3L, 0L, 4L) // [layers, 2, kv_heads, n, head_dim]

            Array.init config.Layers (fun layer ->
                let own = all[int64 layer]
                struct (own[0L], own[1L]))

    let private model (options: PrefixMethod) (loaded: LoadedModel) (theta: Parameters) =
        let plain = loaded.Model
        let prefix = pairs options loaded theta

        { plain with
            Prepare = fun context -> plain.Prepare context |> Context.withPrefix plain.Dtype plain.Device prefix }

    /// <summary>The tuning.</summary>
    /// <exception cref="T:System.ArgumentException">An option is out of range.</exception>
    let create (options: PrefixMethod) : ModelTuning =
        LowRank.checkRank Name options.Length
        options.Projection |> Option.iter (LowRank.checkRank Name)

        if not (options.Deviation > 0.0 && options.Deviation <= 10.0) then
            invalidArg (nameof options) $"expected a deviation of 0 … 10, above 0, found {options.Deviation}"

        { Form =
            Form.Method(
                Name,
                [ "length", FormOption.Int options.Length
                  match options.Projection with
                  | Some inner -> "projection", FormOption.Int inner
                  | None -> ()
                  if options.Deviation <> 0.02 then
                      "deviation", FormOption.Float options.Deviation ]
            )
          Blank =
            fun loaded ->
                shapes options loaded.Config
                |> List.map (fun (role, name, shape) -> ModelTuning.blank role name shape)
                |> Parameters
          Init = init options
          Model = model options
          Noisy = None
          Merge = fun _ _ -> invalidOp "a prefix is no part of a model's weights: save it as an adapter" }

    /// <summary>The tuning from the options that its <see cref="T:Reft.Core.Form"/> holds.</summary>
    /// <exception cref="T:System.ArgumentException">An option is missing, unknown or out of range.</exception>
    let ofForm (form: (string * FormOption) list) : ModelTuning =
        form |> FormOptions.onlyKnown Name [ "length"; "projection"; "deviation" ]

        create
            { Length = form |> FormOptions.required Name "length"
              Projection =
                if form |> List.exists (fst >> (=) "projection") then
                    Some(form |> FormOptions.required Name "projection")
                else
                    None
              Deviation = form |> FormOptions.float Name "deviation" 0.02 }
