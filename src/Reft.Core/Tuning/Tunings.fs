namespace Reft.Core

/// <summary>The tunings of the library by name, as <see cref="T:Reft.Core.Registry"/> has interventions.</summary>
[<RequireQualifiedAccess>]
module Tunings =

    let private plain name tuning options =
        options |> FormOptions.onlyKnown name []
        tuning

    let private all: (string * ((string * FormOption) list -> ModelTuning)) list =
        [ "lora", Lora.ofOptions false >> Lora.create
          "dora", Lora.ofOptions true >> Lora.create
          "bitfit", plain "bitfit" BitFit.create
          "prefix", PrefixTuning.ofForm
          "probe", plain "probe" LastLayer.create
          "full", plain "full" FullTuning.create ]

    /// <summary>Their names.</summary>
    let names: string list = all |> List.map fst

    /// <summary>The tuning of a form.</summary>
    /// <exception cref="T:System.ArgumentException">It is none of the library's, or an option is missing, unknown or out of range.</exception>
    let ofForm (form: Form) : ModelTuning =
        let known = String.concat ", " names

        match form with
        | Form.Method(name, options) ->
            match all |> List.tryFind (fst >> (=) name) with
            | Some(_, make) -> make options
            | None -> invalidArg (nameof form) $"there is no tuning '{name}': expected one of {known}"
        | other -> invalidArg (nameof form) $"expected the name of a tuning, one of {known}, found {other}"
