namespace Reft.Core

open System
open System.IO
open TorchSharp

/// pyreft's classes of interventions: which method each is, and how its state dict holds the parameters.
[<RequireQualifiedAccess>]
type internal PyreftClass =
    | Loreft
    | Noreft
    | Consreft
    | Lobireft
    | Direft
    | Nodireft

[<RequireQualifiedAccess>]
module internal PyreftClass =

    let private table =
        [ PyreftClass.Loreft, "LoreftIntervention", "loreft"
          PyreftClass.Noreft, "NoreftIntervention", "noreft"
          PyreftClass.Consreft, "ConsreftIntervention", "consreft"
          PyreftClass.Lobireft, "LobireftIntervention", "lobireft"
          PyreftClass.Direft, "DireftIntervention", "direft_orthonormal"
          PyreftClass.Nodireft, "NodireftIntervention", "direft_paper" ]

    /// The class as <c>config.json</c> writes it.
    let typeName (wanted: PyreftClass) : string =
        let _, name, _ = table |> List.find (fun (cls, _, _) -> cls = wanted)
        $"<class 'pyreft.interventions.{name}'>"

    /// The class of what <c>config.json</c> writes.
    let ofTypeName (value: JsonValue) : PyreftClass =
        let text = JsonValue.string value

        match table |> List.tryFind (fun (cls, _, _) -> typeName cls = text) with
        | Some(cls, _, _) -> cls
        | None ->
            let names = table |> List.map (fun (_, name, _) -> name) |> String.concat ", "
            raise (JsonValue.unexpected $"a class of pyreft.interventions, one of {names}" value)

    /// The class of one of our methods, if it is one of pyreft's.
    let ofMethod (name: string) : PyreftClass option =
        table
        |> List.tryFind (fun (_, _, ours) -> ours = name)
        |> Option.map (fun (cls, _, _) -> cls)

    let private methodOf wanted =
        let _, _, name = table |> List.find (fun (cls, _, _) -> cls = wanted)
        name

    // The names in pyreft's state dicts. LoReFT has a short form of its own; the others are those of its modules.
    [<Literal>]
    let private Weight = "learned_source.weight"

    [<Literal>]
    let private Bias = "learned_source.bias"

    [<Literal>]
    let private Source = "learned_source"

    [<Literal>]
    let private Projection = "proj_layer.weight"

    [<Literal>]
    let private ProjectionBias = "proj_layer.bias"

    [<Literal>]
    let private Free = "rotate_layer.parametrizations.weight.original"

    [<Literal>]
    let private Base = "rotate_layer.parametrizations.weight.0.base"

    [<Literal>]
    let private Rotation = "rotate_layer"

    /// Buffers of pyvene's that repeat the width.
    let private widths = [ "embed_dim"; "interchange_dim" ]

    let private shapeOf (t: Tensor) = "[" + String.Join(", ", t.shape) + "]"

    /// Columns that are orthonormal to this are taken as they are.
    [<Literal>]
    let private Orthonormality = 1e-5

    /// Columns that are further from it than rounding explains mean another edit.
    [<Literal>]
    let private LargestDeviation = 1e-3

    /// The largest entry of |RᵀR − I|.
    let private deviation (columns: Tensor) =
        let wide = columns.``to`` torch.float64
        let gram = torch.mm (wide.t (), wide)
        (gram - torch.eye (gram.shape[0], dtype = torch.float64)).abs().max().item<float>()

    /// What is read of a state dict: every tensor fp32 and finite, of the shape that is asked for.
    type private Found(file: string, tensors: Map<string, Tensor>) =

        let refuse (message: string) : 'T =
            raise (InvalidDataException $"{file}: {message}")

        member _.Refuse(message: string) : 'T = refuse message

        member _.Has(name: string) = tensors.ContainsKey name

        member _.Read(name: string, shape: int64 list) : Tensor =
            match tensors.TryFind name with
            | None ->
                let names = tensors |> Map.keys |> Seq.truncate 12 |> String.concat ", "
                refuse $"expected a tensor '{name}', found only {names}"
            | Some t when List.ofArray t.shape <> shape || not (t.is_floating_point ()) ->
                let expected = "[" + String.Join(", ", shape) + "]"
                refuse $"tensor '{name}': expected real numbers {expected}, found {t.dtype} {shapeOf t}"
            | Some t when not (t.isfinite().all().item<bool>()) ->
                refuse $"tensor '{name}' holds numbers that are not finite"
            | Some t -> t.``to`` torch.float32

        /// The rank, by the tensor that has it as a side.
        member _.Rank(name: string, dimension: int) : int64 =
            match tensors.TryFind name with
            | Some t when dimension < t.shape.Length -> t.shape[dimension]
            | Some t -> refuse $"tensor '{name}': expected {dimension + 1} dimensions or more, found {shapeOf t}"
            | None -> refuse $"expected a tensor '{name}', found none"

        /// Refuses tensors that nothing reads.
        member _.OnlyKnown(known: string list, width: int) =
            for KeyValue(name, t) in tensors do
                if List.contains name widths then
                    if t.numel () <> 1L || t.``to``(torch.int64).cpu().item<int64>() <> int64 width then
                        refuse
                            $"'{name}' is not the model's width at this site, {width}: the adapter is of another model"
                elif not (List.contains name known) then
                    refuse $"it holds the tensor '{name}' {shapeOf t}, which this class has not"

    /// R [d, r] of a state dict.
    let private rotation (found: Found) (width: int64) (rank: int64) =
        if found.Has Rotation then
            found.Read(Rotation, [ width; rank ])
        else
            Parameters.ofSeq
                [ "rotation", found.Read(Free, [ width; rank ])
                  "base", found.Read(Base, [ width; width ]) ]
            |> Orthonormal.householder.Apply

    /// Q with orthonormal columns and T with R = Q T, or nothing where R is orthonormal as it is.
    let private factors (columns: Tensor) =
        if deviation columns <= Orthonormality then
            None
        else
            let wide = columns.``to`` torch.float64
            let q = Orthonormal.positiveQr wide
            Some(q, torch.mm (q.t (), wide))

    let private narrow (t: Tensor) = t.``to`` torch.float32

    /// <summary>
    /// Our intervention for a module of pyreft's, and its parameters by our names. Where R is not quite orthonormal, as
    /// after training that pyreft took up again, the same edit is written with an orthonormal one.
    /// </summary>
    let import
        (file: string)
        (cls: PyreftClass)
        (activation: string)
        (width: int)
        (tensors: Map<string, Tensor>)
        : Intervention * Parameters =
        let found = Found(file, tensors)
        let d = int64 width
        let linear = activation = Activation.linear.Name

        let short = cls = PyreftClass.Loreft && found.Has LowRank.Weight
        let weightName = if short then LowRank.Weight else Weight
        let biasName = if short then LowRank.Bias else Bias
        let hasSource = cls = PyreftClass.Consreft || cls = PyreftClass.Lobireft
        let hasProjection = cls = PyreftClass.Noreft || cls = PyreftClass.Nodireft
        let hasBias = hasProjection && found.Has ProjectionBias

        let rank =
            if hasSource then
                found.Rank(Source, 0)
            else
                found.Rank(weightName, 0)

        if rank < 1L || rank > d then
            found.Refuse $"expected a rank of 1 … {width}, found {rank}"

        found.OnlyKnown(
            [ if hasSource then
                  Source
              else
                  weightName
                  biasName
              if hasProjection then
                  Projection

                  if hasBias then
                      ProjectionBias
              else
                  Rotation
                  Free
                  Base ],
            width
        )

        let linearMap () =
            found.Read(weightName, [ rank; d ]), found.Read(biasName, [ rank ])

        let tooFar () =
            found.Refuse
                $"R is not orthonormal (the adapter was loaded and trained further by pyreft, which does not keep it so), and with the activation {activation} no orthonormal R makes the same edit"

        let values =
            if hasProjection then
                let weight, bias = linearMap ()

                [ LowRank.Projection, found.Read(Projection, [ rank; d ])
                  LowRank.Weight, weight
                  LowRank.Bias, bias
                  if hasBias then
                      LowRank.ProjectionBias, found.Read(ProjectionBias, [ rank ]) ]
            else
                let columns = rotation found d rank
                let factors = factors columns

                let q =
                    match factors with
                    | Some(q, _) -> narrow q
                    | None -> columns

                let near () = deviation columns <= LargestDeviation

                [ "rotation", Orthonormal.free q

                  match cls, factors with
                  | PyreftClass.Lobireft, Some(_, t) ->
                      // R s = Q (T s)
                      let source = found.Read(Source, [ rank ]).``to`` torch.float64
                      LowRank.Source, torch.mv (t, source) |> narrow
                  | (PyreftClass.Consreft | PyreftClass.Lobireft), _ ->
                      if factors.IsSome && not (near ()) then
                          tooFar ()

                      LowRank.Source, found.Read(Source, [ rank ])
                  | _, Some(q, t) when linear ->
                      let weight, bias = linearMap ()
                      let weight = torch.mm (t, weight.``to`` torch.float64)

                      // R (W h + b − Rᵀ h) = Q ((T W + (I − T Tᵀ) Qᵀ) h + T b − Qᵀ h); without the subtraction Q (T W h + T b).
                      let weight =
                          if cls = PyreftClass.Loreft then
                              weight .+ q.t () - torch.mm (torch.mm (t, t.t ()), q.t ())
                          else
                              weight

                      LowRank.Weight, narrow weight
                      LowRank.Bias, torch.mv (t, bias.``to`` torch.float64) |> narrow
                  | _ ->
                      if factors.IsSome && not (near ()) then
                          tooFar ()

                      let weight, bias = linearMap ()
                      LowRank.Weight, weight
                      LowRank.Bias, bias ]

        let form =
            Form.Method(
                methodOf cls,
                [ "rank", FormOption.Int(int rank)
                  if not linear && not hasSource then
                      "activation", FormOption.Text activation
                  if hasBias then
                      "bias", FormOption.Flag true ]
            )

        Registry.intervention Registry.standard form, Parameters.ofSeq values

    /// A basis whose first columns are the given ones: torch's constant matrix for them.
    let private completed (columns: Tensor) =
        let width, rank = columns.shape[0], columns.shape[1]

        if width = rank then
            columns
        else
            let wide = columns.``to`` torch.float64
            let more = Rng.normal [ width; width - rank ] (Rng.ofSeed 0L)

            let basis =
                torch.cat (ResizeArray [ wide; more.``to`` torch.float64 ], 1L)
                |> Orthonormal.positiveQr

            torch.cat (ResizeArray [ columns; narrow (basis.narrow (1L, rank, width - rank)) ], 1L)

    /// The state dict of a module that pyreft's class loads, for parameters of our method with the given orthonormal map.
    let export (cls: PyreftClass) (map: OrthonormalMap) (width: int) (theta: Parameters) : (string * Tensor) list =
        let read (name: string) =
            theta[name].detach().cpu().``to`` torch.float32

        let buffers =
            [ for name in widths -> name, torch.tensor (int64 width, dtype = torch.int64) ]

        let linear () =
            [ Weight, read LowRank.Weight; Bias, read LowRank.Bias ]

        let columns () =
            use _ = torch.no_grad ()
            (theta |> Parameters.map (fun t -> t.detach().cpu()) |> map.Apply).contiguous()

        let parametrization () =
            let columns = columns ()

            [ Free, -(torch.eye (columns.shape[0], columns.shape[1], dtype = torch.float32))
              Base, completed columns ]

        match cls with
        | PyreftClass.Loreft ->
            [ LowRank.Weight, read LowRank.Weight
              LowRank.Bias, read LowRank.Bias
              Rotation, columns () ]
        | PyreftClass.Direft -> buffers @ parametrization () @ linear ()
        | PyreftClass.Consreft
        | PyreftClass.Lobireft -> (Source, read LowRank.Source) :: buffers @ parametrization ()
        | PyreftClass.Noreft
        | PyreftClass.Nodireft ->
            buffers
            @ [ Projection, read LowRank.Projection
                match theta.TryFind LowRank.ProjectionBias with
                | Some bias -> ProjectionBias, bias.detach().cpu().``to`` torch.float32
                | None -> () ]
            @ linear ()
