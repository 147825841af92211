using System.CommandLine;

namespace Reft.Cli;

/// <summary>The options that say which model a command loads and how: the same ones in every command.</summary>
/// <param name="required">Whether the command cannot do anything without a model.</param>
internal sealed class ModelChoice(bool required = true)
{
    private readonly Option<string> _name = new("--model")
    {
        HelpName = "DIR|ORG/NAME",
        Description = "The model: a Hugging Face folder with config.json and safetensors weights, or a name on the hub.",
        Required = required,
    };

    private readonly HubChoice _hub = new();
    private readonly Option<string?> _dtype = Dtype();
    private readonly Option<string?> _weights = Weights();
    private readonly Option<string?> _lora =
        Values.Text("--lora", "DIR", "A LoRA adapter that peft saved, to put on the model.");

    private readonly Option<bool> _mergeLora =
        Values.Flag("--merge-lora", "Add the LoRA adapter to the model's matrices rather than compute it beside them.");

    /// <summary>Which model it is.</summary>
    public IEnumerable<Option> Which => [_name, .. _hub.Options];

    /// <summary>How it is loaded.</summary>
    public IEnumerable<Option> How => [_dtype, _weights, _lora, _mergeLora];

    /// <summary>What is put on it, where numbers and their format do not matter.</summary>
    public Option Lora => _lora;

    /// <summary>What the user calls the model; null where none is given.</summary>
    public string? Name(ParseResult parsed) => parsed.GetValue(_name);

    /// <summary>Whether the command line says what numbers it computes in.</summary>
    public bool HasDtype(ParseResult parsed) => parsed.GetValue(_dtype) is not null;

    /// <summary>The model's folder; a name on the hub is fetched into the cache, which stderr shows.</summary>
    /// <param name="parsed">The command line.</param>
    /// <param name="cancel">Ends a download, which the next run continues.</param>
    public Task<string> FolderAsync(ParseResult parsed, CancellationToken cancel = default) =>
        _hub.FolderAsync(parsed, parsed.GetRequiredValue(_name), cancel);

    /// <summary>How it is loaded.</summary>
    public ModelOptions Options(ParseResult parsed) => new()
    {
        Dtype = parsed.GetValue(_dtype) switch
        {
            "fp32" => ModelDtype.Fp32,
            "bf16" => ModelDtype.Bf16,
            _ => ModelDtype.AsFile,
        },
        Weights = FormatOf(parsed.GetValue(_weights)),
        LoraAdapter = parsed.GetValue(_lora),
        MergeLora = parsed.GetValue(_mergeLora),
    };

    /// <summary>The model with its adapter, if one is given.</summary>
    public Task<ReftModel> LoadAsync(ParseResult parsed, string? adapter, bool tokenizer = true) =>
        LoadAsync(parsed, model => _ = adapter is null ? model : model.LoadAdapter(adapter), tokenizer);

    /// <summary>The model, with what is put on it.</summary>
    public async Task<ReftModel> LoadAsync(ParseResult parsed, Action<ReftModel> put, bool tokenizer = true)
    {
        var folder = await FolderAsync(parsed).ConfigureAwait(false);
        var model = ReftModel.Load(folder, Options(parsed) with { LoadTokenizer = tokenizer });
        try
        {
            put(model);
            return model;
        }
        catch
        {
            model.Dispose();
            throw;
        }
    }

    /// <summary>How matrices are kept.</summary>
    public static Option<string?> Weights()
    {
        var option = Values.Text(
            "--weights", "stored|int8", "How the matrices of the blocks are kept: as in the file where it is not given, or as 8-bit numbers, in half the memory of bf16.");
        option.AcceptOnlyFromAmong("stored", "int8");
        return option;
    }

    /// <summary>The format that <see cref="Weights"/> names.</summary>
    public static WeightStorage FormatOf(string? name) => name == "int8" ? WeightStorage.EightBit : WeightStorage.AsStored;

    /// <summary>What <see cref="Weights"/> calls a format.</summary>
    public static string NameOf(WeightStorage weights) => weights == WeightStorage.EightBit ? "int8" : "stored";

    private static Option<string?> Dtype()
    {
        var option = Values.Text(
            "--dtype", "fp32|bf16", "The numbers to compute in; those of the model's file where it is not given (F16 becomes bf16).");
        option.AcceptOnlyFromAmong("fp32", "bf16");
        return option;
    }
}
