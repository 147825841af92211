using System.CommandLine;

namespace Reft.Cli;

/// <summary>What several commands ask for.</summary>
internal static class CommonOptions
{
    public static Option<string> Model() =>
        Values.Required(
            "--model",
            "DIR|ORG/NAME",
            "The model: a Hugging Face folder with config.json and safetensors weights, or a name on the hub.");

    public static Option<string?> Revision() =>
        Values.Text("--revision", "REV", "The branch, tag or commit of a model on the hub; main where it is not given.");

    public static Option<bool> Offline() =>
        Values.Flag("--offline", "Take a model of the hub from the cache alone. HF_HUB_OFFLINE=1 does the same.");

    public static Option<string?> Adapter() =>
        Values.Text("--adapter", "DIR", "An adapter that `reft train` saved; without it the model itself is used.");

    public static Option<string?> Lora() =>
        Values.Text("--lora", "DIR", "A LoRA adapter that peft saved, to put on the model.");

    public static Option<bool> MergeLora() =>
        Values.Flag("--merge-lora", "Add the LoRA adapter to the model's matrices rather than compute it beside them.");

    public static Option<bool> Json(string what) => Values.Flag("--json", $"Print {what} as JSON.");

    public static Option<string?> Dtype()
    {
        var option = Values.Text(
            "--dtype", "fp32|bf16", "The numbers to compute in; those of the model's file where it is not given (F16 becomes bf16).");
        option.AcceptOnlyFromAmong("fp32", "bf16");
        return option;
    }

    private static ModelDtype DtypeOf(string? name) =>
        name switch
        {
            "fp32" => ModelDtype.Fp32,
            "bf16" => ModelDtype.Bf16,
            _ => ModelDtype.AsFile,
        };

    public static Option<string?> Weights()
    {
        var option = Values.Text(
            "--weights", "stored|int8", "How the matrices of the blocks are kept: as in the file where it is not given, or as 8-bit numbers, in half the memory of bf16.");
        option.AcceptOnlyFromAmong("stored", "int8");
        return option;
    }

    /// <summary>What <see cref="Weights"/> calls a format.</summary>
    public static string NameOf(WeightFormat weights) => weights == WeightFormat.EightBit ? "int8" : "stored";

    /// <summary>How a model is loaded.</summary>
    public static ModelOptions ModelOptions(
        string? dtype, string? weights, string? lora = null, bool mergeLora = false) => new()
        {
            Dtype = DtypeOf(dtype),
            Weights = weights == "int8" ? WeightFormat.EightBit : WeightFormat.AsStored,
            LoraAdapter = lora,
            MergeLora = mergeLora,
        };

    /// <summary>The model's folder; a name on the hub is fetched into the cache, which stderr shows.</summary>
    /// <param name="nameOrFolder">What the user calls the model.</param>
    /// <param name="revision">The revision of a name, if one is given.</param>
    /// <param name="offline">Whether the cache alone is to be used.</param>
    /// <param name="cancel">Ends a download, which the next run continues.</param>
    public static Task<string> FolderAsync(
        string nameOrFolder, string? revision, bool offline, CancellationToken cancel = default)
    {
        if (Directory.Exists(nameOrFolder))
        {
            return revision is null
                ? Task.FromResult(nameOrFolder)
                : throw new ArgumentException($"--revision is for models of the hub: '{nameOrFolder}' is a folder");
        }

        var name = revision is null || !HubRepository.TryParse(nameOrFolder, out var repository)
            ? nameOrFolder
            : repository.At(revision).ToString();
        return HubDisplay.ShowAsync(name, progress => ModelHub.FolderAsync(
            name, new HubOptions { Offline = offline ? true : null, Progress = progress }, cancel));
    }

    /// <summary>The model with its adapter, if one is given.</summary>
    public static ReftModel Load(string folder, string? adapter, ModelOptions options)
    {
        var model = ReftModel.Load(folder, options);
        try
        {
            return adapter is null ? model : model.LoadAdapter(adapter);
        }
        catch
        {
            model.Dispose();
            throw;
        }
    }
}
