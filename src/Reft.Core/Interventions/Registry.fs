namespace Reft.Core

/// <summary>
/// Which interventions can be made from data: the library's methods, and the user's own by their names. A form that
/// names anything else is refused, so that a file never runs code that its reader has not chosen.
/// </summary>
[<NoEquality; NoComparison>]
type Registry =
    private
        { Methods: Map<string, (string * FormOption) list -> Intervention>
          Customs: Map<string, Intervention>
          Functions: Map<string, PositionFunction> }

/// <summary>From <see cref="T:Reft.Core.Form"/> back to an intervention.</summary>
[<RequireQualifiedAccess>]
module Registry =

    /// <summary>The methods of the library.</summary>
    let standard: Registry =
        { Methods =
            Map
                [ "loreft", Loreft.ofForm
                  "noreft", Noreft.ofForm
                  "consreft", Consreft.ofForm
                  "lobireft", Lobireft.ofForm
                  "direft_orthonormal", DireftOrthonormal.ofForm
                  "direft_paper", DireftPaper.ofForm
                  "red", Red.ofForm
                  "bottleneck", Bottleneck.ofForm
                  "activation_addition", ActivationAddition.ofForm
                  "repe_linear", RepE.linearOfForm
                  "repe_piecewise", RepE.piecewiseOfForm
                  "repe_projection", RepE.projectionOfForm
                  "lofit_scale", Lofit.scaleOfForm
                  "lofit_offset", Lofit.offsetOfForm
                  "jola", Jola.ofForm
                  "reft_r1", ReftR1.ofForm
                  "partitioned_loreft", PartitionedLoreft.ofForm
                  "routed_loreft", RoutedLoreft.ofForm
                  "scalar_gate", Gates.scalarOfForm
                  "sigmoid_gate", Gates.sigmoidOfForm
                  "hard_concrete_gate", Gates.hardConcreteOfForm
                  "zero_out", ZeroOut.ofForm
                  "interchange", Interchange.ofForm
                  "add_source", SourceAddition.addOfForm
                  "subtract_source", SourceAddition.subtractOfForm
                  "noise", Noise.ofForm
                  "rotated_interchange", RotatedInterchange.ofForm
                  "boundless_interchange", BoundlessInterchange.ofForm
                  "sigmoid_mask", SigmoidMask.ofForm
                  "pca_interchange", PcaInterchange.ofForm
                  "autoencoder_interchange", AutoencoderInterchange.ofForm
                  "jumprelu_interchange", AutoencoderInterchange.jumpReluOfForm ]
          Customs = Map.empty
          Functions = Map.empty }

    /// <summary>The same with a user's own intervention, made by <see cref="M:Reft.Core.InterventionModule.define"/>.</summary>
    /// <exception cref="T:System.ArgumentException">The intervention is not a custom one.</exception>
    let add (intervention: Intervention) (registry: Registry) : Registry =
        match intervention.Form with
        | Form.Custom name ->
            { registry with
                Customs = registry.Customs |> Map.add name intervention }
        | other ->
            invalidArg
                (nameof intervention)
                $"only custom interventions are registered by name (Intervention.define); found {other}, which needs no registering"

    /// <summary>The same with a function of positions of the user's own.</summary>
    let addPositions (chosen: PositionFunction) (registry: Registry) : Registry =
        { registry with
            Functions = registry.Functions |> Map.add chosen.Name chosen }

    let private names map = map |> Map.keys |> String.concat ", "

    /// <summary>The names of the methods that forms may name.</summary>
    let methods (registry: Registry) : string list =
        registry.Methods |> Map.keys |> Seq.toList

    /// <summary>The function of positions of a name.</summary>
    /// <exception cref="T:System.ArgumentException">None of that name is registered.</exception>
    let positions (registry: Registry) (name: string) : PositionFunction =
        match registry.Functions.TryFind name with
        | Some known -> known
        | None ->
            let known =
                if registry.Functions.IsEmpty then
                    "none is registered"
                else
                    $"registered are {names registry.Functions}"

            invalidArg
                (nameof name)
                $"the function of positions '{name}' is not registered ({known}): add it to the registry before loading"

    /// What is meant by a name that pyreft and the paper use for different methods.
    let private ambiguous name =
        match name with
        | "direft" ->
            Some
                "'direft' is ambiguous: expected 'direft_paper', the paper's DiReFT h + W₂ᵀ(W₁ h + b), which pyreft calls NodireftIntervention, or 'direft_orthonormal', pyreft's DireftIntervention h + Rᵀ(W h + b)"
        | "nodireft" ->
            Some
                "there is no method 'nodireft': expected 'direft_paper', the paper's DiReFT h + W₂ᵀ(W₁ h + b), which pyreft calls NodireftIntervention"
        | _ -> None

    /// <summary>The intervention of a form.</summary>
    /// <exception cref="T:System.ArgumentException">The form names a method, option or custom intervention that is not known.</exception>
    let rec intervention (registry: Registry) (form: Form) : Intervention =
        let make = intervention registry

        match form with
        | Form.Zero -> Intervention.zero
        | Form.Method(name, options) ->
            match registry.Methods.TryFind name with
            | Some build -> build options
            | None ->
                ambiguous name
                |> Option.defaultValue $"there is no method '{name}': expected one of {names registry.Methods}"
                |> invalidArg (nameof form)
        | Form.Sum parts -> parts |> List.map make |> List.fold Intervention.add Intervention.zero
        | Form.Then parts ->
            parts
            |> List.map make
            |> List.fold (fun chain next -> chain |> Intervention.andThen next) Intervention.zero
        | Form.Scale(factor, edit) -> make edit |> Intervention.scale factor
        | Form.Gate(gate, edit) -> Intervention.gate (make gate) (make edit)
        | Form.Dropout(rate, ofOutput, edit) ->
            make edit
            |> (if ofOutput then
                    Intervention.dropoutOutput rate
                else
                    Intervention.dropout rate)
        | Form.Subspace(rows, edit) -> make edit |> Intervention.onSubspace rows
        | Form.Custom name ->
            match registry.Customs.TryFind name with
            | Some known -> known
            | None ->
                let known =
                    if registry.Customs.IsEmpty then
                        "none is registered"
                    else
                        $"registered are {names registry.Customs}"

                invalidArg
                    (nameof form)
                    $"the custom intervention '{name}' is not registered ({known}): define it in this program and add it to the registry before loading"
