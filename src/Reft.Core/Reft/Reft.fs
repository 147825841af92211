namespace Reft.Core

open System
open System.Collections.Generic
open TorchSharp

/// <summary>
/// A spec with its parameters bound, ready to be attached to a model for any number of batches and decode steps.
/// Dispose it to free what binding computed.
/// </summary>
[<Sealed>]
type BoundReft
    internal
    (
        placements: BoundPlacement list,
        shapes: IReadOnlyDictionary<string, int64[]>,
        sources: Activations list,
        scope: IDisposable
    ) =

    // The configuration for which the parameters' shapes were last found right: decode steps need not look again.
    let mutable fitting: ModelConfig option = None

    member internal _.Placements = placements
    member internal _.Sources = sources

    /// The same with more sources.
    member internal _.With(more: Activations list) =
        new BoundReft(placements, shapes, sources @ more, scope)

    /// The same with other sources.
    member internal _.Reading(others: Activations list) =
        new BoundReft(placements, shapes, others, scope)

    /// Refuses a model whose widths the parameters have not.
    member internal _.Check(config: ModelConfig) =
        match fitting with
        | Some known when obj.ReferenceEquals(known, config) -> ()
        | _ ->
            Layout.check config (placements |> List.map (fun b -> b.Placement)) shapes
            fitting <- Some config

    interface IDisposable with
        member _.Dispose() = scope.Dispose()

/// <summary>Attaching interventions to transformers.</summary>
[<RequireQualifiedAccess>]
module Reft =

    /// <summary>Fresh parameters for a spec on a model, reproducible from <paramref name="rng"/>.</summary>
    /// <exception cref="T:System.ArgumentException">The spec cannot act on the model; see <see cref="M:Reft.Core.ReftSpecModule.validate"/>.</exception>
    let init (spec: ReftSpec) (config: ModelConfig) (rng: Rng) : Parameters =
        Native.load ()
        ReftSpec.validate config spec

        List.zip spec (ReftSpec.parameterNames spec)
        |> List.collect (fun (placement, names) -> names |> List.map (fun name -> name, placement))
        |> List.distinctBy fst
        |> List.mapi (fun i (name, placement) ->
            placement.What.Init (config.Width placement.Site) (Rng.fork i rng)
            |> Parameters.prefixed name)
        |> Parameters.concat

    /// <summary>
    /// Binds parameters once for many batches and decode steps, without gradients: at inference θ does not change.
    /// </summary>
    /// <returns>An owner of what binding computed; dispose it when done.</returns>
    /// <exception cref="T:System.ArgumentException">
    /// A parameter is missing or not finite. Shapes that a model has not are refused when the spec is first attached to it.
    /// </exception>
    let bind (spec: ReftSpec) (theta: Parameters) : BoundReft =
        use _ = torch.no_grad ()
        Layout.checkFinite theta
        use scope = torch.NewDisposeScope()
        let placements = Attachment.bind spec theta
        // The staged tensors leave this thread's scopes: the owner frees them, wherever it is disposed.
        let staged = ResizeArray<IDisposable>(scope.DisposablesView)
        scope.Detach staged

        new BoundReft(
            placements,
            Layout.shapes theta,
            [],
            { new IDisposable with
                member _.Dispose() =
                    for tensor in staged do
                        tensor.Dispose()

                    staged.Clear() }
        )

    /// <summary>
    /// The same bound spec with activations of other runs, which its interchanges read whenever it is attached, in a
    /// generation for example, besides those of the context.
    /// </summary>
    /// <remarks>
    /// The result shares what binding computed: dispose either of the two, when neither is used any more. The
    /// activations stay the caller's and must outlive both.
    /// </remarks>
    let withSources (sources: Activations list) (bound: BoundReft) : BoundReft = bound.With sources

    /// The same bound spec for a batch that has each row several times in succession: so are the rows of its sources.
    let internal repeatSources (times: int) (bound: BoundReft) : BoundReft =
        let repeated (source: Activations) =
            let index =
                [| 0 .. source.Rows.Length - 1 |]
                |> Array.groupBy (fun place -> source.Rows[place])
                |> Array.collect (fun (row, places) ->
                    [| for copy in 0 .. times - 1 do
                           for place in places -> row * times + copy, place |])

            { source with
                Rows = index |> Array.map fst
                Tokens = index |> Array.map (fun (_, place) -> source.Tokens[place])
                Values =
                    Scope.run (fun () ->
                        let places = torch.tensor (index |> Array.map (snd >> int64))
                        source.Values.index_select (0L, places.``to`` source.Values.device)) }

        match bound.Sources with
        | [] -> bound
        | sources -> bound.Reading(sources |> List.map repeated)

    /// <summary>Whether a bound spec edits tokens that follow the prompt; where not, decoding need not attach it.</summary>
    let actsAfterPrompt (bound: BoundReft) : bool =
        bound.Placements |> List.exists (fun b -> b.Placement.When <> Phase.Prompt)

    /// <summary>The model with bound interventions attached, for one context.</summary>
    let attachBound (bound: BoundReft) (context: Context) (model: Transformer) : Transformer =
        bound.Check model.Config
        Attachment.attach bound.Placements (Context.withSources bound.Sources context) model

    /// The model with several bound specs attached, one after another.
    let internal attachAll (bound: BoundReft list) (context: Context) (model: Transformer) : Transformer =
        bound |> List.fold (fun model bound -> attachBound bound context model) model

    /// <summary>
    /// The model with a spec attached, for one context: gradients flow to <paramref name="theta"/>. Attachments stack:
    /// a later one sees the edits of an earlier one.
    /// </summary>
    /// <exception cref="T:System.ArgumentException">A parameter is missing, or has another shape than the spec on this model.</exception>
    let attach (spec: ReftSpec) (theta: Parameters) (context: Context) (model: Transformer) : Transformer =
        Layout.check model.Config spec (Layout.shapes theta)
        Attachment.attach (Attachment.bind spec theta) context model

    /// <summary>
    /// <see cref="M:Reft.Core.ReftModule.collect"/> in any phase: under Decode, of the tokens after the prompt. Outside the
    /// prompt rows come in the order of their tokens, however the positions list them.
    /// </summary>
    let collectDuring
        (phase: Phase)
        (name: string)
        (sites: Site list)
        (where: Positions)
        (context: Context)
        (ids: Tensor)
        (model: Transformer)
        : Activations list =
        Collect.run phase name sites where context ids model

    /// <summary>
    /// The activations of a run at some sites and positions of its prompts: one for each site, their rows in the order in
    /// which a tied placement of the same positions edits them. Gradients flow through them; on a model with attachments
    /// they are the edited ones. Only the layers that the sites need are run.
    /// </summary>
    /// <param name="name">What the run is called by the interventions that read it.</param>
    /// <param name="sites">Where in the model; head ranges too.</param>
    /// <param name="where">Which tokens of the prompt.</param>
    /// <param name="context">The run's context, e.g. of <c>Batch.context</c>.</param>
    /// <param name="ids">Its token ids. [batch, seq]</param>
    /// <param name="model">The model.</param>
    /// <exception cref="T:System.ArgumentException">The model has not the site, or the positions mean nothing.</exception>
    let collect
        (name: string)
        (sites: Site list)
        (where: Positions)
        (context: Context)
        (ids: Tensor)
        (model: Transformer)
        : Activations list =
        collectDuring Phase.Prompt name sites where context ids model
