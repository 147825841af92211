using Reft.Internal;

namespace Reft;

public sealed partial class ReftModel
{
    /// <summary>
    /// Loads an adapter that pyreft saved (<c>config.json</c> and <c>intkey_*.bin</c>), in place of what was attached. Its
    /// pickles are read as tensors only: nothing in them is executed.
    /// </summary>
    /// <remarks>
    /// pyreft does not save which base model it was: the adapter is taken to be this one's. <see cref="SaveAdapter"/> saves it
    /// in this library's own format, once and for all.
    /// </remarks>
    /// <param name="folder">Where <c>reft_model.save(folder)</c> wrote it.</param>
    /// <param name="options">What pyreft does not save.</param>
    /// <returns>This model.</returns>
    /// <exception cref="FileNotFoundException">A file is missing.</exception>
    /// <exception cref="InvalidDataException">
    /// A file is damaged, holds more than tensors, is of a class that is not pyreft's own, or does not fit the model.
    /// </exception>
    /// <exception cref="ArgumentException">The options name no activation, or a rate that is none.</exception>
    public ReftModel LoadPyreftAdapter(string folder, PyreftImportOptions options)
    {
        using var work = _gate.Change();
        using var adapter = Core.PyreftAdapter.load(
            new Core.PyreftOptions(
                options.Positions.Value,
                options.ShortPrompt == ShortPromptRule.Paper ? Core.ShortPrompt.Paper : Core.ShortPrompt.Pyreft,
                Core.ActivationModule.ofName(options.Activation),
                options.Dropout),
            _loaded.Fingerprint,
            _loaded.Config,
            folder);
        Replace(
            [new AttachedReft(adapter.Spec, AttachedReft.Kept(adapter.Parameters, _loaded.Model.Device))],
            ReftSpec.Of(adapter.Spec));
        Replace((AttachedTuning?)null);
        return this;
    }

    /// <summary>
    /// Saves what is attached as a folder that pyreft's <c>ReftModel.load</c> takes. Positions and dropout are not in it:
    /// pyreft has no place for them. It loads W and b in bf16 unless told otherwise.
    /// </summary>
    /// <param name="folder">Made if need be.</param>
    /// <exception cref="InvalidOperationException">Nothing is attached.</exception>
    /// <exception cref="ArgumentException">
    /// pyreft cannot hold what is attached: the message names the placement and the reason.
    /// </exception>
    /// <exception cref="IOException">Writing failed, e.g. because the disk is full: the old files are intact.</exception>
    public void SavePyreftAdapter(string folder)
    {
        using var work = _gate.Read();
        var attached = Attached();
        if (_tuned is not null)
        {
            throw new ArgumentException(
                $"pyreft has no place for how the model itself is tuned ({Tuning}): save it apart by SavePeftAdapter or SaveModel");
        }

        Core.PyreftAdapter.save(folder, _loaded.Config, attached.Spec, attached.Parameters);
    }
}
