namespace Reft.Core

open System
open TorchSharp

/// <summary>How low-rank updates are trained.</summary>
type LoraMethod =
    {
        /// r: rows of A and columns of B.
        Rank: int
        /// α: an update is multiplied by α / r.
        Alpha: float
        /// The maps, by the last part of their names or more of it, e.g. <c>q_proj</c>; every map of the blocks where empty.
        Modules: string list
        /// The share of the inputs of A that is dropped in training.
        Dropout: float
        /// Whether the factor is α / √r, as in rank-stabilised LoRA (arXiv 2312.03732).
        Stabilised: bool
        /// Whether the magnitude of each output is trained apart from its direction: DoRA (arXiv 2402.09353).
        Magnitudes: bool
        /// Whether updates are computed in fp32 whatever the model's dtype, as by peft; else in the model's dtype, from
        /// parameters that are fp32. On a CPU that is the faster way by far where the model is bf16.
        Wide: bool
    }

/// <summary>
/// LoRA: y = W x + b + (α / r) B A x, with A and B alone trained (Hu et al., arXiv 2106.09685). DoRA: y = b + m ⊙
/// (W + (α / r) B A) x / ‖W + (α / r) B A‖, with the norm of each row, and m trained too (Liu et al., arXiv 2402.09353,
/// equation 5; the norm is a constant to the derivative, as in section 4.3).
/// </summary>
/// <remarks>
/// A is drawn as peft draws it, U(−1/√in, 1/√in), and B is 0, so that training begins at the base model. Dropout acts on the
/// input of A alone, in DoRA too, where peft drops the input of W in a part of the product as well.
/// </remarks>
[<RequireQualifiedAccess>]
module Lora =

    /// <summary>On every map of the blocks, without dropout, α / r, in the model's dtype.</summary>
    let options (rank: int) (alpha: float) : LoraMethod =
        { Rank = rank
          Alpha = alpha
          Modules = []
          Dropout = 0.0
          Stabilised = false
          Magnitudes = false
          Wide = false }

    [<Literal>]
    let private Prefix = "lora"

    /// <summary>The name of a map's A among the parameters, e.g. <c>lora.model.layers.0.self_attn.q_proj.down</c>.</summary>
    let downOf (map: string) : string = $"{Prefix}.{map}.down"

    /// <summary>The name of a map's B.</summary>
    let upOf (map: string) : string = $"{Prefix}.{map}.up"

    /// <summary>The name of a map's m.</summary>
    let magnitudeOf (map: string) : string = $"{Prefix}.{map}.magnitude"

    /// ‖w‖² of each row of W, a constant.
    let private squaresOf (map: string) : string = $"{Prefix}.{map}.row_squares"

    /// <summary>What an update is multiplied by: α / r, or α / √r.</summary>
    let scale (options: LoraMethod) : float =
        options.Alpha
        / (if options.Stabilised then
               sqrt (float options.Rank)
           else
               float options.Rank)

    let private nameOf options =
        if options.Magnitudes then "dora" else "lora"

    let private check (options: LoraMethod) =
        LowRank.checkRank (nameOf options) options.Rank

        if not (Single.IsFinite(float32 (scale options))) then
            invalidArg (nameof options) $"expected a finite alpha, found {options.Alpha} for the rank {options.Rank}"

        if not (options.Dropout >= 0.0 && options.Dropout < 1.0) then
            invalidArg (nameof options) $"expected a dropout of 0 … 1 (below 1), found {options.Dropout}"

        for name in options.Modules do
            if String.IsNullOrWhiteSpace name || name.Contains ',' then
                invalidArg (nameof options) $"expected names of linear maps, found '{name}'"

    let private form (options: LoraMethod) =
        Form.Method(
            nameOf options,
            [ "rank", FormOption.Int options.Rank
              "alpha", FormOption.Float options.Alpha
              if not options.Modules.IsEmpty then
                  "modules", FormOption.Text(String.Join(",", options.Modules))
              if options.Dropout > 0.0 then
                  "dropout", FormOption.Float options.Dropout
              if options.Stabilised then
                  "rslora", FormOption.Flag true
              if options.Wide then
                  "fp32", FormOption.Flag true ]
        )

    let private targets (options: LoraMethod) (loaded: LoadedModel) =
        ModelParts.ofModel loaded |> ModelParts.chosen options.Modules

    let private entries
        (options: LoraMethod)
        (make: int -> Linear -> Role -> string -> int64 list -> Parameter)
        (loaded: LoadedModel)
        =
        let r = int64 options.Rank

        targets options loaded
        |> List.mapi (fun i (entry, linear) ->
            let ins, outs = Linear.inputs linear, Linear.outputs linear

            [ make i linear Role.Decayed (downOf entry.Name) [ r; ins ]
              make i linear Role.Decayed (upOf entry.Name) [ outs; r ]
              if options.Magnitudes then
                  make i linear Role.Undecayed (magnitudeOf entry.Name) [ outs ]
                  make i linear Role.Constant (squaresOf entry.Name) [ outs ] ])
        |> List.concat
        |> Parameters

    let private init (options: LoraMethod) (loaded: LoadedModel) (rng: Rng) =
        use _ = torch.no_grad ()

        loaded
        |> entries options (fun i linear role name shape ->
            let value =
                Scope.run (fun () ->
                    match ModelParts.lastPart name with
                    | "down" -> Start.linear (int shape[1]) shape (Rng.fork i rng)
                    | "up" -> torch.zeros (List.toArray shape, dtype = torch.float32)
                    | "magnitude" -> (RowNorm.squares linear).sqrt()
                    | _ -> RowNorm.squares linear
                    |> _.``to``(loaded.Model.Device))

            Parameters.entry role name value)

    let private updateOf (options: LoraMethod) (theta: Parameters) (map: string) : LowRankUpdate =
        { Down = theta[downOf map]
          Up = theta[upOf map]
          Scale = scale options
          Input = None }

    /// m / ‖W + s B A‖ of each row. The norm is a constant to the derivative.
    let private rescale (options: LoraMethod) (linear: Linear) (theta: Parameters) (map: string) : Tensor =
        theta[magnitudeOf map]
        / RowNorm.updated theta[squaresOf map] (updateOf options theta map) linear

    let private dropped (rate: float) (rng: Rng) (x: Tensor) =
        Scope.run (fun () ->
            let kept =
                (Rng.uniform 0.0 1.0 (List.ofArray x.shape) rng).ge(held rate).``to``(x.dtype).``to`` x.device

            x * kept *. float32 (1.0 / (1.0 - rate)))

    let private build (options: LoraMethod) (loaded: LoadedModel) =
        let numbers =
            targets options loaded
            |> List.mapi (fun i (entry, _) -> entry.Name, i)
            |> readOnlyDict

        fun (rng: Rng option) (theta: Parameters) ->
            loaded.Build(fun weights ->
                { weights with
                    Linear =
                        fun entry ->
                            let linear = weights.Linear entry

                            match numbers.TryGetValue entry.Name with
                            | true, number ->
                                let cast (p: Tensor) =
                                    if options.Wide then p else p.``to`` loaded.Model.Dtype

                                let whole = updateOf options theta entry.Name

                                // m and ‖W + s B A‖ are of one update alone.
                                if options.Magnitudes && (linear.Rescale.IsSome || not linear.Updates.IsEmpty) then
                                    invalidOp
                                        $"'{entry.Name}' has a LoRA adapter beside its matrix, with which DoRA's magnitudes would be wrong: load the model with the adapter merged (--merge-lora, MergeLora)"

                                let update =
                                    { whole with
                                        Down = cast whole.Down
                                        Up = cast whole.Up
                                        Input =
                                            rng
                                            |> Option.filter (fun _ -> options.Dropout > 0.0)
                                            |> Option.map (Rng.fork number >> dropped options.Dropout) }

                                { linear with
                                    Updates = linear.Updates @ [ update ]
                                    Rescale =
                                        if options.Magnitudes then
                                            Some(rescale options linear theta entry.Name)
                                        else
                                            linear.Rescale }
                            | _ -> linear })

    /// W + s B A, or m ⊙ (W + s B A) / ‖W + s B A‖, computed in fp32 and rounded once.
    let private merge (options: LoraMethod) (loaded: LoadedModel) (theta: Parameters) =
        use _ = torch.no_grad ()

        let maps =
            targets options loaded
            |> List.map (fun (entry, _) -> $"{entry.Name}.weight", entry)
            |> readOnlyDict

        ModelTuning.replaced loaded (fun name ->
            match maps.TryGetValue name with
            | true, entry ->
                let update = updateOf options theta entry.Name

                Scope.run (fun () ->
                    loaded.Tensors[name].cpu()
                    |> PeftLora.merged
                        entry.Transposed
                        { update with
                            Down = update.Down.cpu ()
                            Up = update.Up.cpu () }
                        (if options.Magnitudes then
                             Some(theta[magnitudeOf entry.Name].cpu())
                         else
                             None))
                |> Some
            | _ -> None)

    /// A stream of its own beside those of interventions.
    let private own = Rng.fork 0x10a

    /// <summary>The tuning.</summary>
    /// <exception cref="T:System.ArgumentException">An option is out of range.</exception>
    let create (options: LoraMethod) : ModelTuning =
        check options

        { Form = form options
          Blank = entries options (fun _ _ role name shape -> ModelTuning.blank role name shape)
          Init = init options
          Model =
            fun loaded ->
                let build = build options loaded
                build None
          Noisy =
            if options.Dropout = 0.0 then
                None
            else
                Some(fun loaded ->
                    let build = build options loaded
                    fun rng -> build (Some(own rng)))
          Merge = merge options }

    /// <summary>The tuning from the options that its <see cref="T:Reft.Core.Form"/> holds.</summary>
    /// <param name="magnitudes">Whether it is DoRA.</param>
    /// <param name="form">The options: rank, alpha, modules, dropout, rslora, fp32.</param>
    /// <exception cref="T:System.ArgumentException">An option is missing, unknown or out of range.</exception>
    let ofOptions (magnitudes: bool) (form: (string * FormOption) list) : LoraMethod =
        let subject = if magnitudes then "dora" else "lora"

        form
        |> FormOptions.onlyKnown subject [ "rank"; "alpha"; "modules"; "dropout"; "rslora"; "fp32" ]

        let rank = form |> FormOptions.required subject "rank"

        { Rank = rank
          Alpha = form |> FormOptions.float subject "alpha" (2.0 * float rank)
          Modules =
            form
            |> FormOptions.text subject "modules" ""
            |> _.Split([| ','; ';' |], StringSplitOptions.RemoveEmptyEntries ||| StringSplitOptions.TrimEntries)
            |> List.ofArray
          Dropout = form |> FormOptions.float subject "dropout" 0.0
          Stabilised = form |> FormOptions.flag subject "rslora" false
          Magnitudes = magnitudes
          Wide = form |> FormOptions.flag subject "fp32" false }

    /// <summary>What the form of a tuning says, where it is LoRA or DoRA.</summary>
    let tryOptions (form: Form) : LoraMethod option =
        match form with
        | Form.Method("lora", options) -> Some(ofOptions false options)
        | Form.Method("dora", options) -> Some(ofOptions true options)
        | _ -> None
