namespace Reft.Core

open TorchSharp

/// <summary>The options of noise.</summary>
type NoiseOptions =
    {
        /// The seed of its numbers.
        Seed: int
        /// The standard deviation.
        Level: float
    }

/// <summary>
/// h ↦ h + level · ε, ε ~ N(0, 1) (pyvene's <c>NoiseIntervention</c>; the corruption of causal tracing, Meng et al.,
/// arXiv 2202.05262). It acts outside training too, and always with the same numbers: the k-th edited token of every row
/// of a batch gets the k-th draw of the seed, in a whole pass and in decoding alike. As in pyvene, rows share the draws;
/// the numbers themselves are this library's generator's, not NumPy's. For noise that regularises training, use dropout.
/// </summary>
[<RequireQualifiedAccess>]
module Noise =

    /// <summary>pyvene's defaults: seed 1, level 0.13462981581687927.</summary>
    let options: NoiseOptions =
        { Seed = 1
          Level = 0.13462981581687927 }

    let private draw options (context: Context) (h: Tensor) =
        let width = h.shape[1]
        let rng = Rng.ofSeed (int64 options.Seed)

        let slots =
            if context.Rows.Length = int h.shape[0] then
                Context.slots context
            else
                [| 0 .. int h.shape[0] - 1 |]

        let distinct = Array.distinct slots

        if distinct.Length = 0 then
            torch.zeros_like h
        else
            let numbers =
                torch.stack (ResizeArray [ for slot in distinct -> Rng.normal [ width ] (Rng.fork slot rng) ], 0L)

            let index =
                slots
                |> Array.map (fun slot -> int64 (System.Array.IndexOf(distinct, slot)))
                |> torch.tensor

            (numbers.index_select (0L, index) *. float32 options.Level).``to``(h.dtype, h.device)

    /// <summary>Noise with the given options.</summary>
    /// <exception cref="T:System.ArgumentException">The level is negative or not finite.</exception>
    let create (options: NoiseOptions) : Intervention =
        if not (options.Level >= 0.0 && options.Level < infinity) then
            invalidArg (nameof options) $"expected a finite noise level ≥ 0, found {options.Level}"

        let form =
            [ if options.Seed <> 1 then
                  "seed", FormOption.Int options.Seed
              if options.Level <> 0.13462981581687927 then
                  "level", FormOption.Float options.Level ]

        Intervention.create (Form.Method("noise", form)) (fun _ _ -> Parameters.empty) (fun _ ->
            Edit.Delta(fun context h -> Scope.run (fun () -> draw options context h)))

    /// <summary>Noise from the options of its form.</summary>
    /// <exception cref="T:System.ArgumentException">An option is unknown, of the wrong kind or out of range.</exception>
    let ofForm (given: (string * FormOption) list) : Intervention =
        given |> FormOptions.onlyKnown "noise" [ "seed"; "level" ]

        create
            { Seed = given |> FormOptions.int "noise" "seed" options.Seed
              Level = given |> FormOptions.float "noise" "level" options.Level }
