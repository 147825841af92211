using System.CommandLine;

namespace Reft.Cli;

/// <summary>What several commands ask for.</summary>
internal static class CommonOptions
{
    public static Option<string> Model() =>
        Values.Required("--model", "DIR", "The model: a Hugging Face folder with config.json and safetensors weights.");

    public static Option<string?> Adapter() =>
        Values.Text("--adapter", "DIR", "An adapter that `reft train` saved; without it the model itself is used.");

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
    public static ModelOptions ModelOptions(string? dtype, string? weights) => new()
    {
        Dtype = DtypeOf(dtype),
        Weights = weights == "int8" ? WeightFormat.EightBit : WeightFormat.AsStored,
    };

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
