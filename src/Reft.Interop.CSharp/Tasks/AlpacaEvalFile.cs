using System.Text;
using System.Text.Json.Nodes;
using Reft.Internal;

namespace Reft;

/// <summary>An answer to one instruction of AlpacaEval.</summary>
/// <param name="Instruction">The instruction.</param>
/// <param name="Output">What a model answered.</param>
/// <param name="Generator">What the model is called.</param>
/// <param name="Dataset">The part of the set that the instruction is from.</param>
public sealed record AlpacaEvalOutput(string Instruction, string Output, string Generator, string Dataset);

/// <summary>Answers in the file format of AlpacaEval: a JSON array of objects with instruction, output, generator and dataset.</summary>
public static class AlpacaEvalFile
{
    /// <summary>Writes a file that AlpacaEval takes as <c>--model_outputs</c>. An older file there is replaced when the new one is complete.</summary>
    /// <exception cref="IOException">Writing failed, e.g. because the disk is full: the old file is intact.</exception>
    public static void Write(string path, IEnumerable<AlpacaEvalOutput> outputs)
    {
        var array = new JsonArray([.. outputs.Select(output => new JsonObject
        {
            ["instruction"] = output.Instruction,
            ["output"] = output.Output,
            ["generator"] = output.Generator,
            ["dataset"] = output.Dataset,
        })]);
        JsonFiles.Write(path, array);
    }
}
