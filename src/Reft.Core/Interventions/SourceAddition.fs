namespace Reft.Core

/// <summary>
/// h ↦ h + s and h ↦ h − s, where s is the activation of a source run (pyvene's <c>AdditionIntervention</c> and
/// <c>SubtractionIntervention</c>). For a fixed vector rather than a run, use activation addition; scaled additions are
/// <c>0.5 * SourceAddition.add "source"</c>.
/// </summary>
[<RequireQualifiedAccess>]
module SourceAddition =

    let private create method change source =
        let source = Sources.named source

        Intervention.create (Form.Method(method, Sources.options source)) (fun _ _ -> Parameters.empty) (fun _ ->
            Edit.Delta(fun context h -> Sources.rows source context h |> change))

    let private ofForm method make options =
        options |> FormOptions.onlyKnown method [ "source" ]
        options |> Sources.ofOptions method |> make

    /// <summary>h ↦ h + s.</summary>
    /// <exception cref="T:System.ArgumentException">The name is empty.</exception>
    let add (source: string) : Intervention = source |> create "add_source" id

    /// <summary>h ↦ h − s.</summary>
    /// <exception cref="T:System.ArgumentException">The name is empty.</exception>
    let subtract (source: string) : Intervention =
        source |> create "subtract_source" (fun rows -> -rows)

    /// <summary>An addition from the options of its form.</summary>
    /// <exception cref="T:System.ArgumentException">An option is unknown or of the wrong kind.</exception>
    let addOfForm (options: (string * FormOption) list) : Intervention = options |> ofForm "add_source" add

    /// <summary>A subtraction from the options of its form.</summary>
    /// <exception cref="T:System.ArgumentException">An option is unknown or of the wrong kind.</exception>
    let subtractOfForm (options: (string * FormOption) list) : Intervention =
        options |> ofForm "subtract_source" subtract
