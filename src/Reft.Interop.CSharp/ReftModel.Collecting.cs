using Reft.Internal;
using TorchSharp;

namespace Reft;

public sealed partial class ReftModel
{
    /// <summary>
    /// The hidden states of rows at some sites and positions, with what is attached or of the base model itself. Only the
    /// layers that the sites need are run.
    /// </summary>
    /// <param name="rows">Rows of every form that <see cref="RowUse.Score"/> allows, and prompts alone.</param>
    /// <param name="sites">Where in the model; each gives its own.</param>
    /// <param name="positions">Which tokens.</param>
    /// <param name="options">How to collect.</param>
    /// <exception cref="InvalidDataException">A row is not of a form to read: the message names it and its field.</exception>
    /// <exception cref="ArgumentException">
    /// The model has not such a site, positions mean nothing in their phase, or a row is longer than the model's context.
    /// </exception>
    public CollectedActivations Collect(
        IEnumerable<DataRow> rows, SiteSet sites, Positions positions, CollectOptions? options = null) =>
        Collect(rows, sites, positions, options ?? new(), CancellationToken.None);

    /// <summary>The hidden states of prompts, as <see cref="Collect(IEnumerable{DataRow}, SiteSet, Positions, CollectOptions)"/>.</summary>
    /// <param name="prompts">The prompts.</param>
    /// <param name="sites">Where in the model; each gives its own.</param>
    /// <param name="positions">Which tokens.</param>
    /// <param name="options">How to collect.</param>
    /// <exception cref="InvalidDataException">A prompt has no tokens, or the model has no tokenizer.</exception>
    /// <exception cref="ArgumentException">
    /// The model has not such a site, positions mean nothing in their phase, or a row is longer than the model's context.
    /// </exception>
    public CollectedActivations Collect(
        IEnumerable<string> prompts, SiteSet sites, Positions positions, CollectOptions? options = null) =>
        Collect(prompts.Select(prompt => new DataRow { Prompt = prompt }), sites, positions, options);

    /// <summary>
    /// <see cref="Collect(IEnumerable{DataRow}, SiteSet, Positions, CollectOptions)"/> on a thread of its own.
    /// </summary>
    /// <param name="rows">Rows of every form that <see cref="RowUse.Score"/> allows, and prompts alone.</param>
    /// <param name="sites">Where in the model; each gives its own.</param>
    /// <param name="positions">Which tokens.</param>
    /// <param name="options">How to collect.</param>
    /// <param name="cancellationToken">Ends it before its next batch, with <see cref="OperationCanceledException"/>.</param>
    /// <exception cref="InvalidDataException">A row is not of a form to read: the message names it and its field.</exception>
    /// <exception cref="ArgumentException">
    /// The model has not such a site, positions mean nothing in their phase, or a row is longer than the model's context.
    /// </exception>
    public Task<CollectedActivations> CollectAsync(
        IEnumerable<DataRow> rows,
        SiteSet sites,
        Positions positions,
        CollectOptions? options = null,
        CancellationToken cancellationToken = default) =>
        DedicatedThread.Run("reft-collect", () =>
        {
            using var stop = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken, _gate.Closing);
            return Collect(rows, sites, positions, options ?? new(), stop.Token);
        });

    private CollectedActivations Collect(
        IEnumerable<DataRow> rows, SiteSet sites, Positions positions, CollectOptions options, CancellationToken stop)
    {
        CheckBatchSize(options.BatchSize);
        ArgumentException.ThrowIfNullOrWhiteSpace(options.Name);
        using var work = _gate.Read();
        var places = sites.In(Config.LayerCount).ToFSharpList();
        var parts = places.Select(_ => new List<SiteActivations>()).ToArray();
        var count = 0;
        foreach (var examples in rows.Select(ToCollect).Chunk(options.BatchSize))
        {
            stop.ThrowIfCancellationRequested();
            using var scope = torch.NewDisposeScope();
            using var frozen = torch.no_grad();
            var batch = Core.BatchModule.create(Core.PaddingSide.Right, examples.ToFSharpList());
            var plain = options.BaseModel ? _loaded.Model : Model;
            var context = Core.BatchModule.context(plain, batch);
            var model = options.BaseModel
                ? plain
                : Bound().Aggregate(plain, (model, bound) => Core.Reft.attachBound(bound, context, model));
            var found = Core.Reft.collectDuring(
                options.Phase.Value,
                options.Name,
                places,
                positions.Value,
                context,
                Core.BatchModule.ids(Model.Device, batch),
                model);
            foreach (var (site, activations) in found.Index())
            {
                parts[site].Add(SiteActivations.Of(activations, count));
            }

            count += examples.Length;
        }

        return count > 0
            ? new CollectedActivations(options.Name, count, [.. parts.Select(SiteActivations.Concat)])
            : throw new ArgumentException("expected at least one row to collect from, found none", nameof(rows));
    }

    private Core.Example ToCollect(DataRow row, int index)
    {
        var use = row is { Prompt: not null, Completion: null } ? RowUse.Generate : RowUse.Score;
        var example = _encoder.Encode(use, row, index);
        return example.Ids.Length <= Config.ContextLength
            ? example
            : throw new ArgumentException(
                $"{row.Source ?? $"row {index}"} has {example.Ids.Length} tokens, more than the model's context of {Config.ContextLength}: shorten it",
                nameof(row));
    }
}
