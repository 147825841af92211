using System.CommandLine;
using System.Globalization;
using System.Text.Json;

namespace Reft.Cli;

/// <summary><c>reft inspect</c>: what a folder holds.</summary>
internal static class InspectCommand
{
    private static readonly Argument<string> Folder = new("DIR")
    {
        HelpName = "DIR|ORG/NAME",
        Description = "A model folder, an adapter's, or the name of a model on the hub.",
    };

    private static readonly HubChoice Hub = new();
    private static readonly Option<string?> Weights = ModelChoice.Weights();
    private static readonly Option<bool> Json = CommonOptions.Json("what it holds");

    public static Command Create()
    {
        var command = CommonOptions.Command(
            "inspect",
            "Show what a model or an adapter folder holds: parameters, trainable %, sites.",
            [.. Hub.Options, Weights, Json]);
        command.Add(Folder);
        command.SetAction(RunAsync);
        return command;
    }

    private static async Task<int> RunAsync(ParseResult parsed)
    {
        using var output = new StandardOutput();
        var folder = parsed.GetRequiredValue(Folder);
        var json = parsed.GetValue(Json);
        if (AdapterInfo.Exists(folder))
        {
            var adapter = AdapterInfo.Read(folder);
            Print(output, json, writer => WriteAdapter(writer, adapter), () => AdapterText(folder, adapter));
        }
        else
        {
            folder = await Hub.FolderAsync(parsed, folder).ConfigureAwait(false);
            using var model = ReftModel.Load(
                folder, new ModelOptions { Weights = ModelChoice.FormatOf(parsed.GetValue(Weights)) });
            Print(output, json, writer => WriteModel(writer, model), () => ModelText(folder, model));
        }

        return ExitCode.Success;
    }

    private static void Print(StandardOutput output, bool json, Action<Utf8JsonWriter> write, Func<IEnumerable<FormattableString>> lines)
    {
        if (json)
        {
            output.JsonLine(write);
        }
        else
        {
            output.Text(string.Concat(lines().Select(line => Terminal.Plain(line.ToString(CultureInfo.InvariantCulture)) + "\n")));
        }
    }

    private static void WriteAdapter(Utf8JsonWriter json, AdapterInfo adapter)
    {
        json.WriteString("kind", "adapter");
        json.WriteNumber("trainable_parameters", adapter.TrainableParameters);
        WriteOptional(json, "base_parameters", adapter.BaseParameters);
        json.WriteNumberOrNull("trainable_percent", adapter.TrainablePercent);
        if (adapter.Tuning is { } tuning)
        {
            json.WriteString("tuning", tuning);
        }

        if (adapter.Classifier is { } head)
        {
            WriteHead(json, head);
        }

        json.WriteString("base_family", adapter.BaseFamily);
        json.WriteString("base_fingerprint", adapter.BaseFingerprint);
        json.WriteString("library_version", adapter.LibraryVersion);
        json.WriteStartArray("sites");
        foreach (var placement in adapter.Placements)
        {
            json.WriteStartObject();
            json.WriteString("site", placement.Site);
            json.WriteString("positions", placement.Positions);
            json.WriteString("intervention", placement.Intervention);
            WritePhase(json, placement.Phase);
            json.WriteString("tying", JsonNamingPolicy.SnakeCaseLower.ConvertName(placement.Tying.ToString()));
            json.WriteString("shared_as", placement.SharedAs);
            json.WriteEndObject();
        }

        json.WriteEndArray();
    }

    private static void WriteHead(Utf8JsonWriter json, ClassifierDescription head)
    {
        json.WriteStartObject("head");
        json.WriteString("problem", JsonNamingPolicy.SnakeCaseLower.ConvertName(head.Problem.ToString()));
        json.WriteTexts("labels", head.Labels);
        json.WriteNumber("parameters", head.Parameters);
        json.WriteNumber("trainable_parameters", head.TrainableParameters);
        json.WriteEndObject();
    }

    // As reft.json has it.
    private static void WritePhase(Utf8JsonWriter json, InterventionPhase phase)
    {
        if (phase is { DecodeStart: { } start, DecodeCount: { } count })
        {
            json.WriteStartObject("phase");
            json.WriteNumber("decode_start", start);
            json.WriteNumber("decode_count", count);
            json.WriteEndObject();
        }
        else
        {
            json.WriteString("phase", JsonNamingPolicy.SnakeCaseLower.ConvertName(phase.ToString()));
        }
    }

    private static void WriteModel(Utf8JsonWriter json, ReftModel model)
    {
        var facts = model.Config;
        json.WriteString("kind", "model");
        json.WriteNumber("parameters", facts.ParameterCount);
        json.WriteNumber("trainable_parameters", 0);
        json.WriteNumber("trainable_percent", 0);
        json.WriteString("family", facts.Family);
        if (model.Classifier is { } head)
        {
            WriteHead(json, head);
        }

        json.WriteString("dtype", facts.Dtype);
        json.WriteString("weights", ModelChoice.NameOf(facts.Weights));
        json.WriteNumber("weight_bytes", facts.WeightBytes);
        json.WriteNumber("layers", facts.LayerCount);
        json.WriteNumber("hidden_size", facts.HiddenSize);
        json.WriteNumber("heads", facts.HeadCount);
        json.WriteNumber("key_value_heads", facts.KeyValueHeadCount);
        json.WriteNumber("head_size", facts.HeadSize);
        json.WriteNumber("intermediate_size", facts.IntermediateSize);
        json.WriteNumber("vocabulary_size", facts.VocabularySize);
        json.WriteNumber("context_length", facts.ContextLength);
        json.WriteNumbers("eos_ids", facts.EosIds);
        WriteOptional(json, "tokenizer_size", model.Tokenizer?.VocabularySize);
        json.WriteStartArray("sites");
        foreach (var site in SitesOf(facts))
        {
            json.WriteStringValue(site);
        }

        json.WriteEndArray();
    }

    private static void WriteOptional(Utf8JsonWriter json, string name, long? number)
    {
        if (number is { } value)
        {
            json.WriteNumber(name, value);
        }
        else
        {
            json.WriteNull(name);
        }
    }

    private static IEnumerable<string> SitesOf(ModelFacts facts) =>
        from layer in Enumerable.Range(0, facts.LayerCount)
        from component in Sites.ComponentNames
        select string.Create(CultureInfo.InvariantCulture, $"layers.{layer}.{component}");

    private static IEnumerable<FormattableString> AdapterText(string folder, AdapterInfo adapter)
    {
        yield return $"adapter         {folder}";
        yield return adapter.TrainablePercent is { } percent
            ? $"trainable       {adapter.TrainableParameters:N0} parameters, {percent:0.####} % of the base model's {adapter.BaseParameters:N0}"
            : (FormattableString)$"trainable       {adapter.TrainableParameters:N0} parameters";
        if (adapter.Tuning is { } tuning)
        {
            yield return $"the model       {tuning}";
        }

        if (adapter.Classifier is { } head)
        {
            yield return $"head            {head}: {string.Join(", ", head.Labels)}";
        }

        yield return $"base model      {adapter.BaseFamily}, fingerprint {adapter.BaseFingerprint}";
        yield return $"saved by        reft {adapter.LibraryVersion}";
        yield return $"sites           {adapter.Placements.Count}";
        foreach (var placement in adapter.Placements)
        {
            yield return $"  {placement}";
        }
    }

    private static IEnumerable<FormattableString> ModelText(string folder, ReftModel model)
    {
        var facts = model.Config;
        yield return $"model           {folder}";
        yield return $"parameters      {facts.ParameterCount:N0}, none of them trainable (0 %): adapters are";
        yield return $"family          {facts.Family}, computed in {facts.Dtype}";
        yield return $"weights         {facts.WeightBytes / 1e6:N1} MB, {ModelChoice.NameOf(facts.Weights)}";
        yield return $"shape           {facts.LayerCount} layers, hidden {facts.HiddenSize}, MLP {facts.IntermediateSize}, {facts.HeadCount} heads of {facts.HeadSize} ({facts.KeyValueHeadCount} for keys and values)";
        if (model.Classifier is { } head)
        {
            yield return $"head            {head}: {string.Join(", ", head.Labels)}";
        }

        yield return $"vocabulary      {facts.VocabularySize}; context {facts.ContextLength}; EOS {(facts.EosIds.Count == 0 ? "none" : string.Join(", ", facts.EosIds))}";
        yield return model.Tokenizer is { } tokenizer
            ? $"tokenizer       {tokenizer.VocabularySize} tokens"
            : model.TokenizerProblem is { } problem
            ? $"tokenizer       not supported: rows of token ids work ({problem})"
            : (FormattableString)$"tokenizer       none: rows of token ids work";
        yield return $"sites           layers.0 … layers.{facts.LayerCount - 1}, each with";
        foreach (var component in Sites.ComponentNames)
        {
            yield return $"  {component}";
        }
    }
}
