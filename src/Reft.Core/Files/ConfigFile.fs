namespace Reft.Core

open System.IO
open System.Text.Json

/// <summary><c>config.json</c> and <c>generation_config.json</c> of a Hugging Face folder.</summary>
[<RequireQualifiedAccess>]
module ConfigFile =

    [<Literal>]
    let private MaximumBytes = 16_777_216

    /// <summary>The name of the configuration's file in a model folder.</summary>
    [<Literal>]
    let FileName = "config.json"

    /// <summary>The name of the file of generation settings in a model folder.</summary>
    [<Literal>]
    let GenerationFileName = "generation_config.json"

    /// <summary>Reads a configuration file.</summary>
    /// <param name="path">The file, usually <c>config.json</c>.</param>
    /// <exception cref="T:System.IO.FileNotFoundException">There is no such file.</exception>
    /// <exception cref="T:System.IO.InvalidDataException">
    /// The file is no JSON, the family is not supported, or a key is missing or wrong: the message names it.
    /// </exception>
    let read (path: string) : ModelConfig =
        let root = JsonValue.read MaximumBytes path

        let kind =
            match JsonValue.tryField "model_type" root with
            | Some kind -> kind
            | None ->
                raise (
                    InvalidDataException
                        $"{path}: key 'model_type' is missing or null: expected a supported model type ({Families.names})"
                )


        match JsonValue.tryField "quantization_config" root with
        | Some quantised ->
            raise (
                JsonValue.unexpected
                    "no such key: these weights are quantised by another library; take the model's own F32, F16 or BF16 weights"
                    quantised
            )
        | None -> ()

        match kind |> JsonValue.string |> Families.tryFind with
        | Some family ->
            { family.ReadConfig root with
                Head = HeadKeys.read root }
        | None -> raise (JsonValue.unexpected $"a supported model type ({Families.names})" kind)

    /// <summary>Reads the configuration of a model folder.</summary>
    /// <exception cref="T:System.IO.FileNotFoundException">The folder has none.</exception>
    let ofFolder (folder: string) : ModelConfig =
        let path = Path.Combine(folder, FileName)

        if not (File.Exists path) then
            raise (
                FileNotFoundException(
                    $"{folder} is not a model folder: expected a {FileName} in it, as Hugging Face lays models out",
                    path
                )
            )

        read path

    /// <summary>
    /// The tokens that end a generation: those of <c>generation_config.json</c>, or else of the configuration.
    /// </summary>
    let eosIds (folder: string) (config: ModelConfig) : int list =
        let path = Path.Combine(folder, GenerationFileName)

        if File.Exists path then
            JsonValue.read MaximumBytes path
            |> JsonValue.tryField "eos_token_id"
            |> Option.map ConfigKeys.tokenIds
            |> Option.defaultValue config.EosIds
        else
            config.EosIds

    let private writeObject (write: Utf8JsonWriter -> unit) (stream: Stream) =
        use writer = new Utf8JsonWriter(stream, JsonWriterOptions(Indented = true))
        writer.WriteStartObject()
        write writer
        writer.WriteEndObject()

    /// <summary>What writes <c>config.json</c>, in the style of transformers 5 with 4.x's <c>torch_dtype</c> beside it.</summary>
    /// <param name="dtype">The weights' type by its name in PyTorch, e.g. <c>bfloat16</c>.</param>
    /// <param name="config">The model's shape.</param>
    let writer (dtype: string) (config: ModelConfig) : Stream -> unit =
        let family = Families.ofConfig config

        writeObject (fun writer ->
            writer.WriteStartArray "architectures"
            writer.WriteStringValue(HeadKeys.architecture family config.Head)
            writer.WriteEndArray()
            writer.WriteString("model_type", family.Name)
            writer.WriteString("dtype", dtype)
            writer.WriteString("torch_dtype", dtype)
            HeadKeys.write config.Head writer
            family.WriteConfig config writer)

    /// <summary>What writes <c>generation_config.json</c>.</summary>
    let generationWriter (config: ModelConfig) : Stream -> unit =
        writeObject (ConfigKeys.writeTokenIds config)
