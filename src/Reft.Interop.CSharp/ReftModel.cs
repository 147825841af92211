using System.Diagnostics;
using System.Text.RegularExpressions;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.FSharp.Core;
using Reft.Internal;
using TorchSharp;

namespace Reft;

/// <summary>
/// A language model or an encoder from a Hugging Face folder, with interventions attached to it or none: train them, generate,
/// score and classify with them, save and load them. The model's own weights never change: where the model itself is tuned
/// (<see cref="AttachTuning"/>), what is learnt stands beside them.
/// </summary>
/// <remarks>
/// Generating and scoring may go on at once on several threads; training has the model for itself. Dispose of it to free
/// its weights; running work is told to stop first.
/// </remarks>
public sealed partial class ReftModel : IDisposable
{
    private readonly Core.LoadedModel _loaded;
    private readonly RowEncoder _encoder;
    private readonly WorkGate _gate = new();
    private readonly ILogger _logger;

    // What is attached, in the order in which it acts: one, or those of LoadAdapters.
    private AttachedReft[] _edits = [];

    private ReftModel(Core.LoadedModel loaded, Core.TextTokenizer? tokenizer, string? refusal, ILogger? logger)
    {
        _logger = logger ?? NullLogger.Instance;
        _loaded = loaded;
        Config = ModelFacts.Of(loaded);
        Tokenizer = tokenizer is null ? null : new ModelTokenizer(tokenizer);
        TokenizerProblem = refusal;
        _encoder = new RowEncoder(tokenizer, refusal, Config.VocabularySize, loaded.Config.SegmentTypes, RowEncoder.EosOf(Config.EosIds, tokenizer), new(loaded.Folder));
        UseOwnHead();
    }

    /// <summary>The model's shape, and how it was loaded.</summary>
    public ModelFacts Config { get; }

    /// <summary>Its tokenizer; null where the folder has none that is supported, and rows of token ids alone work.</summary>
    public ModelTokenizer? Tokenizer { get; }

    /// <summary>
    /// Why the folder's tokenizer cannot be used; null where it can, or there is none. Text is then refused with
    /// this message.
    /// </summary>
    public string? TokenizerProblem { get; }

    /// <summary>What is attached, as it was trained; empty where nothing is. Of several adapters, in their order.</summary>
    public ReftSpec Spec { get; private set; } = new();

    // Tuned, if it is.
    private Core.Transformer Model => _tuned?.Model ?? _loaded.Model;

    /// <summary>
    /// Loads a model folder: <c>config.json</c>, safetensors weights and, if it is there, <c>tokenizer.json</c> or <c>tokenizer.model</c>. One that
    /// is not supported is no error until text is needed: see <see cref="TokenizerProblem"/>.
    /// </summary>
    /// <exception cref="FileNotFoundException">A file is missing; the message says which was expected.</exception>
    /// <exception cref="InvalidDataException">The configuration or the weights are damaged, or of a kind that is not supported.</exception>
    /// <exception cref="ArgumentException">The options name no device.</exception>
    /// <exception cref="InvalidOperationException">The options name a device that this machine has not.</exception>
    public static ReftModel Load(string folder, ModelOptions? options = null)
    {
        options ??= new ModelOptions();
        if (!Directory.Exists(folder) && HubRepository.TryParse(folder, out var repository))
        {
            throw new FileNotFoundException(
                $"there is no folder '{folder}'. If it is the model {repository} of the Hugging Face hub, fetch it by ReftModel.LoadAsync(\"{repository}\")",
                folder);
        }

        using var activity = ReftTelemetry.Source.StartActivity("reft.model.load");
        var clock = Stopwatch.StartNew();
        var (tokenizer, refusal) = options.LoadTokenizer ? RowEncoder.TokenizerOf(folder) : (null, null);
        var model = new ReftModel(Core.Checkpoint.loadWith(LoadOptions(options), folder), tokenizer, refusal, options.Logger);
        var (family, seconds) = (model.Config.Family, clock.Elapsed.TotalSeconds);
        activity?.SetTag("reft.model.family", family);
        activity?.SetTag("reft.model.parameters", model.Config.ParameterCount);
        ReftTelemetry.LoadDuration.Record(seconds, new KeyValuePair<string, object?>("reft.model.family", family));
        model._logger.Loaded(family, folder, model.Config.ParameterCount, seconds);
        return model;
    }

    /// <summary>Loads a model folder and attaches a spec, with fresh parameters.</summary>
    /// <exception cref="FileNotFoundException">A file is missing; the message says which was expected.</exception>
    /// <exception cref="InvalidDataException">A file is damaged, or of a kind that is not supported.</exception>
    /// <exception cref="ArgumentException">The spec cannot act on the model: the message says what would do.</exception>
    public static ReftModel Load(string folder, ReftSpec spec, ModelOptions? options = null)
    {
        var model = Load(folder, options);
        try
        {
            return model.Attach(spec, (options ?? new ModelOptions()).Seed);
        }
        catch
        {
            model.Dispose();
            throw;
        }
    }

    /// <summary>
    /// Attaches a spec, with fresh parameters, in place of what was attached. How the model itself is tuned stays.
    /// </summary>
    /// <param name="spec">What to attach where.</param>
    /// <param name="seed">The seed of the parameters.</param>
    /// <returns>This model.</returns>
    /// <exception cref="ArgumentException">
    /// The model has not such a layer or heads, a rank exceeds the width, placements overlap, or positions mean nothing in
    /// their phase.
    /// </exception>
    public ReftModel Attach(ReftSpec spec, long seed = 42)
    {
        using var work = _gate.Change();
        Replace(spec.IsEmpty ? [] : [AttachedReft.Fresh(spec, _loaded.Model, seed)], spec);
        return this;
    }

    /// <summary>
    /// Takes off what is attached, a tuning of the model itself and a classification head that its folder did not bring
    /// included: the model is then the base model.
    /// </summary>
    /// <returns>This model.</returns>
    public ReftModel Detach()
    {
        using var work = _gate.Change();
        Replace([], new ReftSpec());
        Replace((AttachedTuning?)null);
        UseOwnHead();
        return this;
    }

    /// <summary>Loads an adapter, with its classification head if it has one, in place of what was attached.</summary>
    /// <param name="folder">Where it was saved.</param>
    /// <param name="known">
    /// Your own interventions and functions of positions that it may name: a file never brings code of its own.
    /// </param>
    /// <param name="anyBaseModel">Whether to take it even if it was trained on another base model.</param>
    /// <returns>This model.</returns>
    /// <exception cref="FileNotFoundException">A file is missing.</exception>
    /// <exception cref="InvalidDataException">
    /// A file is damaged, was written by a newer version, was trained on another base model, or names an intervention or a
    /// function of positions that is not known.
    /// </exception>
    public ReftModel LoadAdapter(string folder, InterventionRegistry? known = null, bool anyBaseModel = false)
    {
        using var work = _gate.Change();
        using var adapter = Read(folder, known, anyBaseModel);
        Put([(new AdapterSource(folder), adapter)], adapter, adapter);
        return this;
    }

    /// <summary>
    /// Saves what is attached, as it was trained (<see cref="EditScale"/> is not saved), with the classification head if there is one: <c>reft.json</c> and <c>reft.safetensors</c>. An older adapter there is replaced only when
    /// the new one is completely on the disk.
    /// </summary>
    /// <param name="folder">Made if need be.</param>
    /// <exception cref="InvalidOperationException">Nothing is attached, or several adapters are.</exception>
    /// <exception cref="IOException">Writing failed, e.g. because the disk is full: the old files are intact.</exception>
    public void SaveAdapter(string folder)
    {
        using var work = _gate.Read();
        NeedUnstacked("save each where it was trained");
        if (_classifier?.Parameters.TrainableCount is not > 0)
        {
            NeedAttached();
        }

        Core.AdapterModule.saveTuned(
            TuningOrNone(),
            _classifier.ToOption(),
            folder,
            _loaded.Config,
            _loaded.Fingerprint,
            OnlyAttached?.Spec ?? [],
            AttachedParameters());
    }

    /// <summary>What is attached, and how much of the whole it is.</summary>
    public ReftDescription Describe()
    {
        using var work = _gate.Read();
        return new ReftDescription
        {
            BaseParameters = Config.ParameterCount,
            TrainableParameters = _edits.Sum(attached => attached.Parameters.TrainableCount) + (_tuned?.Parameters.TrainableCount ?? 0),
            Tuning = Tuning?.ToString(),
            Classifier = Classifier,
            Placements = [.. _edits.SelectMany(attached => attached.ScaledSpec).Select(PlacementDescription.Of)],
        };
    }

    /// <summary>
    /// Frees the weights; running work is told to stop, and waited for. Not to be called from the progress of a training
    /// run, which would wait for itself: cancel the run instead.
    /// </summary>
    public void Dispose()
    {
        if (_gate.Close())
        {
            Replace([], new ReftSpec());
            Replace((AttachedTuning?)null);
            Take(null);
            ((IDisposable)_loaded).Dispose();
            _gate.Dispose();
        }
    }

    private static Core.LoadOptions LoadOptions(ModelOptions options)
    {
        var defaults = Core.Checkpoint.defaults(); // The first touch of libtorch: torch.Device below needs it.
        torch.ScalarType? dtype = options.Dtype switch
        {
            ModelDtype.Fp32 => torch.ScalarType.Float32,
            ModelDtype.Bf16 => torch.ScalarType.BFloat16,
            ModelDtype.Fp16 => torch.ScalarType.Float16,
            _ => null,
        };
        var weights = options.Weights switch
        {
            WeightStorage.AsStored => Core.WeightFormat.AsStored,
            WeightStorage.EightBit => Core.WeightFormat.Int8,
            _ => throw new ArgumentOutOfRangeException(nameof(options), options.Weights, "no known format of weights"),
        };
        var lora = options.LoraAdapter is { } folder ? new Core.LoraOptions(folder, options.MergeLora) : null;
        return new Core.LoadOptions(
            dtype.ToOption(),
            DeviceOf(options.Device) ?? defaults.Device,
            weights,
            lora is null ? FSharpOption<Core.LoraOptions>.None : FSharpOption<Core.LoraOptions>.Some(lora));
    }

    // Null is the CPU.
    private static torch.Device? DeviceOf(string name)
    {
        if (name == "cpu")
        {
            return null;
        }

        if (!CudaDevice().IsMatch(name))
        {
            throw new ArgumentException($"'{name}' is no device: expected cpu, cuda or cuda:N", nameof(name));
        }

        return torch.cuda.is_available()
            ? torch.device(name)
            : throw new InvalidOperationException(
                $"the device '{name}' cannot be used: libtorch finds no CUDA device. Use cpu, or natives built for CUDA on a machine that has one");
    }

    [GeneratedRegex(@"^cuda(:[0-9]{1,2})?$")]
    private static partial Regex CudaDevice();

    // What ends a generation; the tokenizer's end where the configuration names none.
    private IReadOnlyList<int> EndIds() =>
        Config.EosIds.Count > 0 ? Config.EosIds : Tokenizer?.EosId is { } named ? [named] : [];

    private AttachedReft Attached()
    {
        NeedUnstacked(LoadAlone);
        return OnlyAttached ?? throw new InvalidOperationException(
            "nothing is attached to the model: give a ReftSpec to ReftModel.Load or Attach, or load an adapter");
    }

    private void NeedAttached()
    {
        if (_tuned is null)
        {
            Attached();
        }
    }

    private void Replace(AttachedReft[] attached, ReftSpec spec)
    {
        foreach (var old in _edits)
        {
            old.Dispose();
        }

        (_edits, Spec) = (attached, spec);
        EditScale = 1;
        LoadedAdapters = [];
    }
}
