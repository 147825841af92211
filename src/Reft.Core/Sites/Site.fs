namespace Reft.Core

/// <summary>A run of attention heads: <c>First</c>, <c>First</c> + 1, … (<c>Count</c> of them).</summary>
[<Struct>]
type HeadRange =
    {
        /// The first head, from 0.
        First: int
        /// How many heads.
        Count: int
    }

/// <summary>Where in a model: a layer, a component of it, and some of its heads or all.</summary>
type Site =
    {
        /// The block, from 0.
        Layer: int
        /// The place in the block.
        Component: Component
        /// Only these heads; <c>None</c> is the whole component. Only query, key, value and attention value have heads.
        Heads: HeadRange option
    }

    /// <summary><c>layers.7.block_output</c>, or <c>layers.7.attention_value.heads.0-3</c>.</summary>
    override site.ToString() =
        let heads =
            match site.Heads with
            | None -> ""
            | Some range -> $".heads.{range.First}-{range.First + range.Count - 1}"

        $"layers.{site.Layer}.{Component.name site.Component}{heads}"

/// <summary>Making and reading sites.</summary>
[<RequireQualifiedAccess>]
module Site =

    /// <summary>A whole component of a layer.</summary>
    let create (layer: int) (place: Component) : Site =
        { Layer = layer
          Component = place
          Heads = None }

    let private hasHeads place =
        match place with
        | Component.Query
        | Component.Key
        | Component.Value
        | Component.AttentionValue -> true
        | _ -> false

    /// <summary>Only some heads of a site.</summary>
    /// <exception cref="T:System.ArgumentException">The component has no heads, or the range is empty.</exception>
    let heads (first: int) (count: int) (site: Site) : Site =
        if not (hasHeads site.Component) then
            invalidArg (nameof site) $"{site} has no heads: expected one of query, key, value, attention_value"

        if first < 0 || count < 1 then
            invalidArg (nameof first) $"expected a first head ≥ 0 and at least one head, found {first} and {count}"

        { site with
            Heads = Some { First = first; Count = count } }

    /// <summary>
    /// Reads what <c>Site.ToString</c> prints, and the names of other libraries where they mean the same values: pyvene's
    /// keys (<c>layer_8_comp_block_output_unit_pos_nunit_1#0</c>, with dots before 0.1.7) and module paths
    /// (<c>model.layers[15].mlp.output</c>), and TransformerLens's hooks (<c>blocks.7.hook_resid_post</c>, as of a model
    /// loaded without processing its weights).
    /// </summary>
    /// <remarks>A pyvene key of a component with heads does not say which: <c>Site.heads</c> does.</remarks>
    /// <exception cref="T:System.ArgumentException">
    /// The text is no site: the message gives the forms and the components, or says why another library's name has no equal.
    /// </exception>
    let parse (text: string) : Site =
        let refuse () =
            let known = Component.names |> List.map snd |> String.concat ", "

            invalidArg
                (nameof text)
                $"'{text}' is not a site: expected layers.N.COMPONENT or layers.N.COMPONENT.heads.A-B, where COMPONENT is one of {known}; or a name of pyvene's or TransformerLens's"

        let number (text: string) =
            match SiteNames.tryNumber text with
            | Some value -> value
            | None -> refuse ()

        match text.Split '.' with
        | [| "layers"; layer; place |] when (Component.tryParse place).IsSome ->
            create (number layer) (Component.tryParse place).Value
        | [| "layers"; layer; place; "heads"; range |] ->
            match Component.tryParse place, range.Split '-' with
            | Some place, [| first; last |] when number last >= number first ->
                create (number layer) place
                |> heads (number first) (number last - number first + 1)
            | _ -> refuse ()
        | _ ->
            match SiteNames.tryParse text with
            | Some(Ok(layer, place)) -> create layer place
            | Some(Error reason) -> invalidArg (nameof text) $"'{text}' is not a site: {reason}"
            | None -> refuse ()
