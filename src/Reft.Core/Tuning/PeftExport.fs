namespace Reft.Core

open System
open System.IO
open System.Text.Json
open TorchSharp

/// <summary>
/// LoRA and DoRA adapters as peft saves them, so that Python loads them: <c>adapter_config.json</c> and
/// <c>adapter_model.safetensors</c>.
/// </summary>
[<RequireQualifiedAccess>]
module PeftExport =

    /// The shortest names that mean these maps and no other module of the model: their last parts, or their full names.
    let private targetNames (parts: ModelParts) (loaded: LoadedModel) (names: string list) =
        let modules =
            [ yield!
                  loaded.Tensors.Keys
                  |> Seq.filter _.EndsWith(".weight", StringComparison.Ordinal)
                  |> Seq.map (fun name -> name.Substring(0, name.Length - ".weight".Length))
              yield! parts.Linears |> List.map (fun (entry, _) -> entry.Name) ]
            |> List.distinct

        let endings = names |> List.map ModelParts.lastPart |> List.distinct

        let reached =
            modules
            |> List.filter (fun name -> List.contains (ModelParts.lastPart name) endings)

        if set reached = set names then endings else names

    let private config
        (options: LoraMethod)
        (loaded: LoadedModel)
        (transposed: bool)
        (targets: string list)
        (stream: Stream)
        =
        use writer = new Utf8JsonWriter(stream, JsonWriterOptions(Indented = true))
        writer.WriteStartObject()
        writer.WriteString("peft_type", "LORA")

        match loaded.Config.Head with
        | CheckpointHead.Language when loaded.Config.Causal -> writer.WriteString("task_type", "CAUSAL_LM")
        | CheckpointHead.Sequence _ -> writer.WriteString("task_type", "SEQ_CLS")
        | _ -> writer.WriteNull "task_type"

        // The folder's name alone: where it stands is this machine's business.
        writer.WriteString("base_model_name_or_path", Path.GetFileName(Path.TrimEndingDirectorySeparator loaded.Folder))
        writer.WriteBoolean("inference_mode", true)
        writer.WriteNumber("r", options.Rank)
        writer.WriteNumber("lora_alpha", options.Alpha)
        writer.WriteNumber("lora_dropout", options.Dropout)
        writer.WriteBoolean("use_rslora", options.Stabilised)
        writer.WriteBoolean("use_dora", options.Magnitudes)
        writer.WriteString("bias", "none")
        writer.WriteBoolean("fan_in_fan_out", transposed)
        writer.WriteBoolean("init_lora_weights", true)
        writer.WriteStartArray "target_modules"

        for target in targets do
            writer.WriteStringValue target

        writer.WriteEndArray()
        writer.WriteNull "modules_to_save"
        writer.WriteEndObject()

    /// <summary>Writes an adapter. An older one there is replaced only when the new one is completely on the disk.</summary>
    /// <param name="folder">Made if need be.</param>
    /// <param name="loaded">The base model.</param>
    /// <param name="options">How it was trained.</param>
    /// <param name="theta">Its parameters, perhaps among others.</param>
    /// <exception cref="T:System.IO.IOException">Writing failed, e.g. because the disk is full: the old files are intact.</exception>
    let save (folder: string) (loaded: LoadedModel) (options: LoraMethod) (theta: Parameters) : unit =
        use _ = torch.NewDisposeScope()
        let parts = ModelParts.ofModel loaded
        let chosen = parts |> ModelParts.chosen options.Modules
        let names = chosen |> List.map (fun (entry, _) -> entry.Name)

        let tensors =
            [ for name in names do
                  let key part = $"base_model.model.{name}.{part}"
                  key "lora_A.weight", theta[Lora.downOf name].detach()
                  key "lora_B.weight", theta[Lora.upOf name].detach()

                  if options.Magnitudes then
                      key "lora_magnitude_vector", theta[Lora.magnitudeOf name].detach() ]
            |> List.map (fun (name, tensor) -> name, tensor.cpu().contiguous())

        let transposed = chosen |> List.exists (fun (entry, _) -> entry.Transposed)

        AtomicFile.writeAll
            folder
            [ "adapter_model.safetensors", Safetensors.writer (Map [ "format", "pt" ]) tensors
              "adapter_config.json", config options loaded transposed (targetNames parts loaded names) ]
