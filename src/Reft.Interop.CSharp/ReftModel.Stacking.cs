using Microsoft.FSharp.Collections;
using Reft.Internal;
using TorchSharp;

namespace Reft;

public sealed partial class ReftModel
{
    /// <summary>What the changes of all that is attached are multiplied by where it runs: 1 unless <see cref="ScaleEdits"/> was told otherwise.</summary>
    public double EditScale { get; private set; } = 1;

    /// <summary>The adapters that <see cref="LoadAdapters"/> attached, in their order; empty otherwise.</summary>
    public IReadOnlyList<AdapterSource> LoadedAdapters { get; private set; } = [];

    /// <summary>
    /// Multiplies the changes of all interventions that are attached, whatever the number before was: 1 is as trained, 0
    /// switches them off, −1 negates them. It lasts until interventions or an adapter are attached, or all is detached. How the
    /// model itself is tuned (LoRA and the like) is not scaled.
    /// </summary>
    /// <remarks>
    /// What is trained and what is saved is not scaled: training on scaled interventions is refused. <see cref="Describe"/> shows
    /// them as they run, <see cref="Spec"/> as they were trained.
    /// </remarks>
    /// <returns>This model.</returns>
    /// <exception cref="ArgumentOutOfRangeException">The factor is not finite.</exception>
    /// <exception cref="InvalidOperationException">No intervention is attached.</exception>
    public ReftModel ScaleEdits(double factor)
    {
        if (!double.IsFinite(factor))
        {
            throw new ArgumentOutOfRangeException(nameof(factor), factor, "expected a finite number");
        }

        using var work = _gate.Change();
        if (_edits is [])
        {
            throw new InvalidOperationException(
                "there is no intervention to scale: give a ReftSpec to ReftModel.Load or Attach, or load an adapter that has interventions");
        }

        if (_edits.Any(attached => !double.IsFinite(attached.Scale * factor)))
        {
            throw new ArgumentOutOfRangeException(nameof(factor), factor, "times the scale of an adapter it is not finite");
        }

        foreach (var attached in _edits)
        {
            attached.Rescale(factor);
        }

        EditScale = factor;
        return this;
    }

    /// <summary>
    /// Loads adapters that were trained apart, in place of what was attached: they act one after another, each on what the one
    /// before it left, so that their positions may overlap. At most one may tune the model itself, and at most one may bring a
    /// classification head.
    /// </summary>
    /// <remarks>
    /// For generating, scoring, choosing, classifying, collecting, and as a teacher. What trains, saves or evaluates an objective is
    /// refused with <see cref="InvalidOperationException"/>: load one alone for that (<see cref="LoadAdapter"/>), and detach
    /// before something new is attached.
    /// </remarks>
    /// <param name="adapters">What acts first comes first. If one cannot be loaded, what was attached stays.</param>
    /// <param name="known">Your own interventions and functions of positions that they may name.</param>
    /// <param name="anyBaseModel">Whether to take them even if they were trained on another base model.</param>
    /// <returns>This model.</returns>
    /// <exception cref="ArgumentException">None is given, a scale is not finite, or two tune the model or bring a head: the message names both.</exception>
    /// <exception cref="FileNotFoundException">A file is missing.</exception>
    /// <exception cref="InvalidDataException">
    /// A file is damaged, was written by a newer version, was trained on another base model, or names an intervention or a
    /// function of positions that is not known.
    /// </exception>
    public ReftModel LoadAdapters(IEnumerable<AdapterSource> adapters, InterventionRegistry? known = null, bool anyBaseModel = false)
    {
        AdapterSource[] sources = [.. adapters];
        if (sources.Length == 0)
        {
            throw new ArgumentException("expected at least one adapter, found none; Detach takes off what is attached", nameof(adapters));
        }

        if (sources.FirstOrDefault(source => !double.IsFinite(source.Scale)) is { } wrong)
        {
            throw new ArgumentException($"the scale of {wrong.Folder} is {wrong.Scale}: expected a finite number", nameof(adapters));
        }

        using var work = _gate.Change();
        var loaded = new List<(AdapterSource Source, Core.Adapter Adapter)>();
        try
        {
            foreach (var source in sources)
            {
                loaded.Add((source, Read(source.Folder, known, anyBaseModel)));
            }

            var tuned = AtMostOne("tunes the model itself", adapter => adapter.Tuning.HasValue());
            var headed = AtMostOne("brings a classification head", adapter => adapter.Classifier.HasValue());
            Put(loaded, tuned, headed);
            LoadedAdapters = sources;
        }
        finally
        {
            foreach (var (_, adapter) in loaded)
            {
                ((IDisposable)adapter).Dispose();
            }
        }

        return this;

        Core.Adapter? AtMostOne(string what, Func<Core.Adapter, bool> does) =>
            loaded.Where(entry => does(entry.Adapter)).ToArray() switch
            {
                [] => null,
                [var only] => only.Adapter,
                [var first, var second, ..] => throw new ArgumentException(
                    $"{first.Source.Folder} {what}, and so does {second.Source.Folder}: of adapters that act together at most one may", nameof(adapters)),
            };
    }

    private Core.Adapter Read(string folder, InterventionRegistry? known, bool anyBaseModel) =>
        Core.AdapterModule.loadOn(known?.ToCore() ?? Core.RegistryModule.standard, anyBaseModel, _loaded, folder);

    // Everything is made before anything of the old is taken off.
    private void Put(
        IReadOnlyList<(AdapterSource Source, Core.Adapter Adapter)> loaded, Core.Adapter? tuned, Core.Adapter? headed)
    {
        using var scope = torch.NewDisposeScope();
        var edits = new List<AttachedReft>();
        AttachedTuning? tuning = null;
        try
        {
            foreach (var (source, adapter) in loaded.Where(entry => !entry.Adapter.Spec.IsEmpty))
            {
                edits.Add(new AttachedReft(adapter.Spec, AttachedReft.Kept(adapter.Parameters, _loaded.Model.Device), source.Scale));
            }

            tuning = tuned?.Tuning.ValueOrNull() is var (form, parameters)
                ? new AttachedTuning(form, _loaded, AttachedReft.Kept(parameters, _loaded.Model.Device))
                : null;
            var head = Kept(headed?.Classifier.ValueOrNull() ?? OwnHead());
            Replace([.. edits], ReftSpec.Of(ListModule.Concat(loaded.Select(entry => entry.Adapter.Spec))));
            Replace(tuning);
            Take(head);
        }
        catch
        {
            edits.ForEach(made => made.Dispose());
            tuning?.Dispose();
            throw;
        }
    }

    private const string LoadAlone = "load one alone by LoadAdapter";
    private const string DetachFirst = "Detach first, or load one alone by LoadAdapter";

    // What may be trained: nothing of adapters that act together.
    private AttachedReft? OnlyAttached => LoadedAdapters.Count == 0 ? _edits.SingleOrDefault() : null;

    // What training needs: one spec or tuning, as it was trained.
    private void NeedTrainable()
    {
        NeedUnstacked(LoadAlone);
        if (EditScale != 1)
        {
            throw new InvalidOperationException(
                $"what is attached is scaled by {EditScale}, and training is of what is not: call ScaleEdits(1) first");
        }
    }

    private FSharpList<Core.BoundReft> Bound() => _edits.Select(attached => attached.Bound).ToFSharpList();

    private void NeedUnstacked(string instead)
    {
        if (LoadedAdapters.Count > 0)
        {
            throw new InvalidOperationException(
                $"the model has adapters that act together ({string.Join(", ", LoadedAdapters.Select(adapter => adapter.Folder))}), for which this is not done: {instead}");
        }
    }
}
