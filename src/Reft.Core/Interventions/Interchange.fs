namespace Reft.Core

/// <summary>
/// Interchange intervention: h ↦ s, the activation of a source run at the same site (pyvene's
/// <c>VanillaIntervention</c>; Geiger et al., arXiv 2106.02997). A replacement, so that the written rows are the source's
/// bit for bit. Use it where whole vectors carry what you look for; where a few directions do, use
/// <see cref="T:Reft.Core.RotatedInterchangeModule"/> or <see cref="T:Reft.Core.PcaInterchangeModule"/>.
/// </summary>
[<RequireQualifiedAccess>]
module Interchange =

    /// <summary>h ↦ the rows of the source run of a name.</summary>
    /// <exception cref="T:System.ArgumentException">The name is empty.</exception>
    let create (source: string) : Intervention =
        let source = Sources.named source

        Intervention.create (Form.Method("interchange", Sources.options source)) (fun _ _ -> Parameters.empty) (fun _ ->
            Edit.Replace(Sources.rows source))

    /// <summary>An interchange from the options of its form.</summary>
    /// <exception cref="T:System.ArgumentException">An option is unknown or of the wrong kind.</exception>
    let ofForm (options: (string * FormOption) list) : Intervention =
        options |> FormOptions.onlyKnown "interchange" [ "source" ]
        options |> Sources.ofOptions "interchange" |> create
