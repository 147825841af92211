using Reft.Internal;

namespace Reft;

/// <summary>
/// Places inside a model's blocks at which interventions act: <c>Sites.BlockOutput(4, 6, 10)</c>, or
/// <c>Sites.BlockOutput(Layers.All)</c>.
/// </summary>
public static class Sites
{
    /// <summary>The names of all components, as <see cref="Named"/> and files have them, in the order a block computes them.</summary>
    public static IReadOnlyList<string> ComponentNames { get; } = [.. Core.ComponentModule.names.Select(known => known.Item2)];

    /// <summary>The inputs of blocks: the residual stream before them.</summary>
    public static SiteSet BlockInput(params int[] layers) => BlockInput(Layers.Of(layers));

    /// <inheritdoc cref="BlockInput(int[])"/>
    public static SiteSet BlockInput(Layers layers) => SiteSet.Of(Core.Component.BlockInput, layers);

    /// <summary>The inputs of attention, after the norm.</summary>
    public static SiteSet AttentionInput(params int[] layers) => AttentionInput(Layers.Of(layers));

    /// <inheritdoc cref="AttentionInput(int[])"/>
    public static SiteSet AttentionInput(Layers layers) => SiteSet.Of(Core.Component.AttentionInput, layers);

    /// <summary>The queries, before the rotary embedding. Has heads.</summary>
    public static SiteSet Query(params int[] layers) => Query(Layers.Of(layers));

    /// <inheritdoc cref="Query(int[])"/>
    public static SiteSet Query(Layers layers) => SiteSet.Of(Core.Component.Query, layers);

    /// <summary>The keys, before the rotary embedding. Has heads.</summary>
    public static SiteSet Key(params int[] layers) => Key(Layers.Of(layers));

    /// <inheritdoc cref="Key(int[])"/>
    public static SiteSet Key(Layers layers) => SiteSet.Of(Core.Component.Key, layers);

    /// <summary>The values. Has heads.</summary>
    public static SiteSet Value(params int[] layers) => Value(Layers.Of(layers));

    /// <inheritdoc cref="Value(int[])"/>
    public static SiteSet Value(Layers layers) => SiteSet.Of(Core.Component.Value, layers);

    /// <summary>The attention-weighted values of all heads, before the output projection. Has heads.</summary>
    public static SiteSet AttentionValue(params int[] layers) => AttentionValue(Layers.Of(layers));

    /// <inheritdoc cref="AttentionValue(int[])"/>
    public static SiteSet AttentionValue(Layers layers) => SiteSet.Of(Core.Component.AttentionValue, layers);

    /// <summary>The outputs of attention, before they join the residual stream.</summary>
    public static SiteSet AttentionOutput(params int[] layers) => AttentionOutput(Layers.Of(layers));

    /// <inheritdoc cref="AttentionOutput(int[])"/>
    public static SiteSet AttentionOutput(Layers layers) => SiteSet.Of(Core.Component.AttentionOutput, layers);

    /// <summary>The inputs of MLPs, after the norm.</summary>
    public static SiteSet MlpInput(params int[] layers) => MlpInput(Layers.Of(layers));

    /// <inheritdoc cref="MlpInput(int[])"/>
    public static SiteSet MlpInput(Layers layers) => SiteSet.Of(Core.Component.MlpInput, layers);

    /// <summary>
    /// The activated gates of gated MLPs, before they meet the up projection: pyvene's <c>mlp_activation</c>.
    /// </summary>
    public static SiteSet MlpGate(params int[] layers) => MlpGate(Layers.Of(layers));

    /// <inheritdoc cref="MlpGate(int[])"/>
    public static SiteSet MlpGate(Layers layers) => SiteSet.Of(Core.Component.MlpGate, layers);

    /// <summary>The inner activations of MLPs, before the down projection.</summary>
    public static SiteSet MlpActivation(params int[] layers) => MlpActivation(Layers.Of(layers));

    /// <inheritdoc cref="MlpActivation(int[])"/>
    public static SiteSet MlpActivation(Layers layers) => SiteSet.Of(Core.Component.MlpActivation, layers);

    /// <summary>The outputs of MLPs, before they join the residual stream.</summary>
    public static SiteSet MlpOutput(params int[] layers) => MlpOutput(Layers.Of(layers));

    /// <inheritdoc cref="MlpOutput(int[])"/>
    public static SiteSet MlpOutput(Layers layers) => SiteSet.Of(Core.Component.MlpOutput, layers);

    /// <summary>The outputs of blocks: the residual stream after them, where the paper places its edits.</summary>
    public static SiteSet BlockOutput(params int[] layers) => BlockOutput(Layers.Of(layers));

    /// <inheritdoc cref="BlockOutput(int[])"/>
    public static SiteSet BlockOutput(Layers layers) => SiteSet.Of(Core.Component.BlockOutput, layers);

    /// <summary>A component by its name in files (e.g. <c>block_output</c>), for settings and command lines.</summary>
    /// <exception cref="ArgumentException">There is no such component: the message lists them.</exception>
    public static SiteSet Named(string component, Layers layers) =>
        Core.ComponentModule.tryParse(component).ValueOrNull() is { } place
            ? SiteSet.Of(place, layers)
            : throw new ArgumentException(
                $"there is no component '{component}': expected one of {string.Join(", ", ComponentNames)}",
                nameof(component));

    /// <summary>
    /// Reads one site as it is printed: <c>layers.7.block_output</c>, or <c>layers.7.query.heads.0-3</c>; and the names of
    /// other libraries where they mean the same values: pyvene's <c>model.layers[15].mlp.output</c> and its keys,
    /// TransformerLens's <c>blocks.7.hook_resid_post</c>.
    /// </summary>
    /// <exception cref="ArgumentException">The text is no site, or another library's name has no equal: the message says why.</exception>
    public static SiteSet Parse(string text) => SiteSet.Of(Core.SiteModule.parse(text));
}
