namespace Reft.Core

open System
open TorchSharp

/// <summary>
/// Localized Finetuning (LoFiT): learn a scaling of every attention head, keep the heads whose scaling grew most, and learn
/// an offset for those alone (arXiv 2406.01563, section 3). Both act at attention values.
/// </summary>
/// <remarks>
/// <para><c>scale</c>: Φ(h) = (1 + a) ⊙ h, a ~ N(0, 10⁻³): step one, for choosing heads.</para>
/// <para><c>offset</c>: Φ(h) = h + v, v = 0 at the start: step two, at the sites that <c>selectHeads</c> gives.</para>
/// <para>
/// RED is both at once and everywhere; JoLA chooses the heads while it trains, in one run instead of two.
/// </para>
/// </remarks>
[<RequireQualifiedAccess>]
module Lofit =

    /// <summary>Step one: a learnt scaling.</summary>
    let scale: Intervention =
        Intervention.create
            (Form.Method("lofit_scale", []))
            (fun width rng ->
                Parameters.ofSeq [ "scale", Scope.run (fun () -> Rng.normal [ int64 width ] rng *. 1e-3f) ])
            (fun theta ->
                let scale = theta["scale"]
                Edit.Delta(fun _ h -> h * scale))

    /// <summary>Step two: a learnt offset.</summary>
    let offset: Intervention =
        Intervention.create
            (Form.Method("lofit_offset", []))
            (fun width _ -> Parameters.ofSeq [ "offset", torch.zeros (int64 width, dtype = torch.float32) ])
            (fun theta ->
                let offset = theta["offset"]
                Edit.Delta(fun _ h -> offset.expand_as h))

    /// The site whose scaling a parameter is, with or without the name of a group behind it.
    let private siteOf (name: string) =
        let parse (path: string) =
            try
                Some(Site.parse path)
            with :? ArgumentException ->
                None

        if not (name.EndsWith(".scale", StringComparison.Ordinal)) then
            None
        else
            let path = name.Substring(0, name.Length - ".scale".Length)

            let shorter =
                match path.LastIndexOf '.' with
                | -1 -> path
                | dot -> path.Substring(0, dot)

            parse path
            |> Option.orElseWith (fun () -> parse shorter)
            |> Option.filter (fun site -> site.Component = Component.AttentionValue)

    /// <summary>
    /// The <paramref name="count"/> heads whose trained scaling is largest, ‖a_head‖, largest first: a site for each, at
    /// which to place <c>offset</c>. Groups of positions of one head count together.
    /// </summary>
    /// <param name="count">How many heads; the paper keeps 3 % to 10 % of them.</param>
    /// <param name="headDim">The width of a head.</param>
    /// <param name="theta">The trained parameters of <c>scale</c> at attention values, as <c>Reft.init</c> names them.</param>
    /// <exception cref="T:System.ArgumentException">
    /// There are none, a width is no multiple of the head's, or there are fewer heads than asked for.
    /// </exception>
    let selectHeads (count: int) (headDim: int) (theta: Parameters) : Site list =
        if headDim < 1 then
            invalidArg (nameof headDim) $"expected the width of a head, 1 or more, found {headDim}"

        let squares (site: Site, scaling: Tensor) =
            let width = scaling.numel ()

            if width % int64 headDim <> 0L then
                invalidArg
                    (nameof headDim)
                    $"{site}: expected a scaling of whole heads of {headDim} numbers, found {width} numbers"

            let first =
                site.Heads |> Option.map (fun range -> range.First) |> Option.defaultValue 0

            Scope.free (fun () ->
                (scaling.detach().``to``(torch.float64).cpu().view(-1L, int64 headDim) |> squared)
                    .sum(1L)
                    .data<float>()
                |> Seq.toList)
            |> List.mapi (fun i square -> (site.Layer, first + i), square)

        let ranked =
            theta.Entries
            |> Seq.choose (fun p -> siteOf p.Name |> Option.map (fun site -> site, p.Value))
            |> Seq.collect squares
            |> Seq.groupBy fst
            |> Seq.map (fun (head, squares) -> head, squares |> Seq.sumBy snd)
            |> Seq.sortBy (fun (head, square) -> -square, head)
            |> Seq.toList

        if ranked.IsEmpty then
            let names = String.concat ", " theta.Names

            invalidArg
                (nameof theta)
                $"expected parameters of lofit_scale at attention values, such as layers.0.attention_value.scale, found {names}"

        if count < 1 || count > ranked.Length then
            invalidArg (nameof count) $"expected 1 … {ranked.Length} heads, found {count}"

        [ for (layer, head), _ in List.truncate count ranked ->
              Site.create layer Component.AttentionValue |> Site.heads head 1 ]

    let private ofForm name what (options: (string * FormOption) list) : Intervention =
        options |> FormOptions.onlyKnown name []
        what

    /// <summary><c>scale</c> from the options that its form holds: none.</summary>
    /// <exception cref="T:System.ArgumentException">An option is given.</exception>
    let scaleOfForm (options: (string * FormOption) list) : Intervention = ofForm "lofit_scale" scale options

    /// <summary><c>offset</c> from the options that its form holds: none.</summary>
    /// <exception cref="T:System.ArgumentException">An option is given.</exception>
    let offsetOfForm (options: (string * FormOption) list) : Intervention = ofForm "lofit_offset" offset options
