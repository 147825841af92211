namespace Reft.Core

open TorchSharp

/// <summary>
/// Zero ablation: h ↦ 0 (pyvene's <c>ZeroIntervention</c>). Written as a replacement, so that it is exact in every dtype.
/// Use it to ask what a site contributes; <see cref="T:Reft.Core.InterchangeModule"/> asks the same with a value that the
/// model really takes, and stays closer to what later layers expect.
/// </summary>
[<RequireQualifiedAccess>]
module ZeroOut =

    /// <summary>h ↦ 0.</summary>
    let create () : Intervention =
        Intervention.create (Form.Method("zero_out", [])) (fun _ _ -> Parameters.empty) (fun _ ->
            Edit.Replace(fun _ h -> torch.zeros_like h))

    /// <summary>Zero ablation from the options of its form, of which there are none.</summary>
    /// <exception cref="T:System.ArgumentException">An option is given.</exception>
    let ofForm (options: (string * FormOption) list) : Intervention =
        options |> FormOptions.onlyKnown "zero_out" []
        create ()
