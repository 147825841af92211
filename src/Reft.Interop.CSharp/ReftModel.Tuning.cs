using Microsoft.FSharp.Collections;
using Microsoft.FSharp.Core;
using Reft.Internal;
using TorchSharp;

namespace Reft;

public sealed partial class ReftModel
{
    // Beside the weights, and small: those of a tokenizer and its chat template.
    private const long LargestCompanion = 64 * 1024 * 1024;

    private AttachedTuning? _tuned;

    /// <summary>How the model itself is tuned; null where it is not.</summary>
    public Tuning? Tuning => _tuned is { } tuned ? Reft.Tuning.Of(tuned.Tuning) : null;

    /// <summary>
    /// Tunes the model itself, with fresh parameters, in place of how it was tuned. What is attached stays, on the tuned model:
    /// both are trained together.
    /// </summary>
    /// <param name="tuning">How.</param>
    /// <param name="seed">The seed of the parameters.</param>
    /// <returns>This model.</returns>
    /// <exception cref="ArgumentException">
    /// The model has not such a map, or its weights are 8-bit numbers and the tuning would change them.
    /// </exception>
    /// <exception cref="InvalidOperationException">The model has no language-model head to tune, or has adapters of <see cref="LoadAdapters"/>.</exception>
    public ReftModel AttachTuning(Tuning tuning, long seed = 42)
    {
        using var work = _gate.Change();
        using var scope = torch.NewDisposeScope();
        NeedUnstacked(DetachFirst);
        Replace(new AttachedTuning(
            tuning.Value,
            _loaded,
            AttachedReft.Kept(
                tuning.Value.Init.Invoke(_loaded).Invoke(Core.RngModule.ofSeed(seed)), _loaded.Model.Device)));
        return this;
    }

    /// <summary>
    /// Saves what LoRA or DoRA has learnt as peft saves it, so that Python loads it. Interventions and a classification head are
    /// not in it: peft has no place for them here.
    /// </summary>
    /// <param name="folder">Made if need be.</param>
    /// <exception cref="InvalidOperationException">The model is not tuned by LoRA or DoRA.</exception>
    /// <exception cref="IOException">Writing failed, e.g. because the disk is full: the old files are intact.</exception>
    public void SavePeftAdapter(string folder)
    {
        using var work = _gate.Read();
        NeedUnstacked(LoadAlone);
        var tuned = NeededTuning();
        var options = Core.Lora.tryOptions(tuned.Tuning.Form).ValueOrNull() ?? throw new InvalidOperationException(
            $"peft's format is for lora and dora, and the model is tuned by {tuned.Tuning.Form}: use SaveAdapter, or SaveModel");
        Core.PeftExport.save(folder, _loaded, options, tuned.Parameters);
    }

    /// <summary>
    /// Saves the tuned model as a Hugging Face folder like any other: LoRA and DoRA added to the matrices, or what full
    /// fine-tuning made of all weights. The tokenizer's files are copied. Interventions and a classification head are not in it.
    /// </summary>
    /// <param name="folder">Made if need be.</param>
    /// <exception cref="InvalidOperationException">
    /// The model is not tuned, its matrices are 8-bit numbers, or its family's files have no place for what was learnt.
    /// </exception>
    /// <exception cref="IOException">Writing failed, e.g. because the disk is full: the old files are intact.</exception>
    public void SaveModel(string folder)
    {
        using var work = _gate.Read();
        using var scope = torch.NewDisposeScope();
        NeedUnstacked(LoadAlone);
        var tuned = NeededTuning();
        if (Path.GetFullPath(folder) == Path.GetFullPath(_loaded.Folder))
        {
            throw new InvalidOperationException($"{folder} is the base model's own folder: save the tuned model elsewhere");
        }

        Core.Checkpoint.save(folder, _loaded.Config, tuned.Tuning.Merge.Invoke(_loaded).Invoke(tuned.Parameters));
        foreach (var file in Companions().Select(name => Path.Combine(_loaded.Folder, name)).Where(File.Exists))
        {
            if (new FileInfo(file).Length <= LargestCompanion)
            {
                File.Copy(file, Path.Combine(folder, Path.GetFileName(file)), overwrite: true);
            }
        }
    }

    private static IEnumerable<string> Companions() =>
    [
        "tokenizer.json", "tokenizer.model", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json",
        "vocab.json", "merges.txt", "vocab.txt", "chat_template.jinja", "chat_template.json",
    ];

    private AttachedTuning NeededTuning() =>
        _tuned ?? throw new InvalidOperationException(
            "the model itself is not tuned: give a Tuning to AttachTuning, or load an adapter that has one");

    private void Replace(AttachedTuning? tuned)
    {
        _tuned?.Dispose();
        _tuned = tuned;
    }

    // What is trained, as a function of parameters: nothing of the tuned model is bound meanwhile.
    private Core.Tuned Tuned()
    {
        NeedTrainable();
        var spec = OnlyAttached?.Spec ?? [];
        if (_tuned is not { } tuned)
        {
            return Core.TunedModule.reft(spec, _loaded.Model);
        }

        tuned.Release();
        return Core.ModelTuningModule.withReft(spec, Core.ModelTuningModule.tuned(_loaded, tuned.Tuning));
    }

    // The same at the parameters it has, for running without gradients.
    private Core.Tuned ReadTuned()
    {
        NeedUnstacked($"{LoadAlone}; the loss of rows is what Score gives too");
        var tuned = Core.TunedModule.reft(OnlyAttached?.ScaledSpec ?? [], Model);
        return _tuned is null
            ? tuned
            : new Core.Tuned(tuned.Model, tuned.Noisy, FSharpOption<Core.Transformer>.Some(_loaded.Model), tuned.Spec, tuned.Prepare);
    }

    private Core.Parameters ReadParameters() => OnlyAttached?.Parameters ?? Core.ParametersModule.empty;

    // What a run trains: these parameters.
    private TrainingSubject Subject(Core.Parameters theta, long headParameters) =>
        new(_loaded, OnlyAttached?.Spec ?? [], _tuned?.Tuning.Form.ToString(), theta, headParameters);

    // The parameters of all that is attached, interventions first.
    private Core.Parameters AttachedParameters() =>
        Core.ParametersModule.concat(
            new[] { OnlyAttached?.Parameters, _tuned?.Parameters }.OfType<Core.Parameters>());

    // Shares out the parameters that a run reached, which are the model's from now on.
    private void Keep(Core.Parameters reached)
    {
        if (OnlyAttached is { } attached)
        {
            Replace([new AttachedReft(attached.Spec, Among(attached.Parameters))], Spec);
        }

        if (_tuned is { } tuned)
        {
            Replace(new AttachedTuning(tuned.Tuning, _loaded, Among(tuned.Parameters)));
        }

        Core.Parameters Among(Core.Parameters names) =>
            new(reached.Entries.Where(p => names.TryFind(p.Name).HasValue()));
    }

    private FSharpOption<Core.ModelTuning> TuningOrNone() =>
        _tuned is { } tuned ? FSharpOption<Core.ModelTuning>.Some(tuned.Tuning) : FSharpOption<Core.ModelTuning>.None;
}
