namespace Reft.Core

open System
open System.IO
open System.Text.Json

/// <summary>The chat templates of a model folder, and the special tokens that they mention.</summary>
type ChatTemplates =
    {
        /// <summary>The folder or file that was read.</summary>
        Source: string
        /// <summary>Templates by name; the usual one is <c>default</c>, one for tools <c>tool_use</c>.</summary>
        Templates: (string * JinjaTemplate) list
        /// <summary>The variables that transformers gives every template: <c>bos_token</c>, <c>eos_token</c> and so on.</summary>
        SpecialTokens: (string * JsonElement) list
    }

/// <summary>Finding the chat templates of a Hugging Face folder.</summary>
[<RequireQualifiedAccess>]
module ChatTemplates =

    [<Literal>]
    let private MaximumBytes = 268_435_456

    let private templateFile = "chat_template.jinja"
    let private moreTemplates = "additional_chat_templates"
    let private configFile = "tokenizer_config.json"
    let private tokensFile = "special_tokens_map.json"
    let private processorFile = "chat_template.json"
    let private defaultName = "default"

    let private readText (path: string) =
        let length = FileInfo(path).Length

        if length > 4L * int64 TemplateLimit.source then
            raise (
                InvalidDataException
                    $"{path}: the template has {length} bytes: expected at most {4 * TemplateLimit.source}"
            )

        try
            Text.UTF8Encoding(false, true).GetString(File.ReadAllBytes path).TrimStart('\ufeff')
        with :? Text.DecoderFallbackException as e ->
            raise (InvalidDataException($"{path}: the template is not UTF-8", e))

    let private ofFile (path: string) =
        JinjaTemplate.parse path (readText path)

    /// What a configuration has as its chat template: a text, or a list of named ones.
    let private ofConfig (config: JsonValue) : (string * JinjaTemplate) list =
        match JsonValue.tryField "chat_template" config with
        | None -> []
        | Some value when value.Element.ValueKind = JsonValueKind.String ->
            [ defaultName, JinjaTemplate.parse $"{value.File}: {value.Key}" (JsonValue.string value) ]
        | Some value when value.Element.ValueKind = JsonValueKind.Array ->
            [ for item in JsonValue.items value do
                  let text = JsonValue.field "template" item
                  let name = item |> JsonValue.field "name" |> JsonValue.string
                  name, JinjaTemplate.parse $"{text.File}: {text.Key}" (JsonValue.string text) ]
        | Some value -> raise (JsonValue.unexpected "a template or a list of named templates" value)

    let private textElement (text: string) = JsonSerializer.SerializeToElement text

    /// Tokens are texts or objects with a text in them; a list of further tokens is a list of either.
    let rec private token (value: JsonValue) : JsonElement option =
        match value.Element.ValueKind with
        | JsonValueKind.String -> Some(textElement (JsonValue.string value))
        | JsonValueKind.Object -> value |> JsonValue.tryField "content" |> Option.bind token
        | JsonValueKind.Array ->
            JsonValue.items value
            |> List.choose token
            |> List.map _.GetString()
            |> JsonSerializer.SerializeToElement
            |> Some
        | _ -> None

    let private specialTokens (config: JsonValue) =
        [ for key, value in JsonValue.fields config do
              if
                  key.EndsWith("_token", StringComparison.Ordinal)
                  && (value.Element.ValueKind = JsonValueKind.String
                      || value.Element.ValueKind = JsonValueKind.Object)
                  || key = "additional_special_tokens"
                     && value.Element.ValueKind = JsonValueKind.Array
              then
                  match token value with
                  | Some token -> key, token
                  | None -> () ]

    let private existing (folder: string) (name: string) =
        let path = Path.Combine(folder, name)
        if File.Exists path then Some path else None

    let private ofFolder (folder: string) : ChatTemplates =
        let read name =
            existing folder name |> Option.map (JsonValue.read MaximumBytes)

        let config = read configFile
        let more = Path.Combine(folder, moreTemplates)

        let files =
            [ match existing folder templateFile with
              | Some path -> defaultName, ofFile path
              | None -> ()
              if Directory.Exists more then
                  for path in
                      Directory.GetFiles(more, "*.jinja")
                      |> Array.sortWith (fun a b -> String.CompareOrdinal(a, b)) do
                      (path |> Path.GetFileNameWithoutExtension |> string), ofFile path ]

        let templates =
            match files, config |> Option.map ofConfig with
            | [], Some(_ :: _ as found) -> found
            | [], _ -> read processorFile |> Option.map ofConfig |> Option.defaultValue []
            | files, _ -> files

        if templates.IsEmpty then
            raise (
                InvalidDataException
                    $"{folder} has no chat template: expected {templateFile}, {moreTemplates}/*.jinja, or the key 'chat_template' in {configFile} or {processorFile}"
            )

        { Source = folder
          Templates = templates
          SpecialTokens =
            [ // A key of the first file wins: the second is what older versions wrote beside it.
              for file in [ read tokensFile; config ] do
                  match file with
                  | Some config -> yield! specialTokens config
                  | None -> () ] }

    /// <summary>Reads the templates of a folder, of a <c>tokenizer_config.json</c> or of a template's own file.</summary>
    /// <param name="path">The folder or file.</param>
    /// <exception cref="T:System.IO.FileNotFoundException">There is no such folder or file.</exception>
    /// <exception cref="T:System.IO.InvalidDataException">There is no template in it, or one is wrong or not supported.</exception>
    let load (path: string) : ChatTemplates =
        if Directory.Exists path then
            ofFolder path
        elif not (File.Exists path) then
            raise (FileNotFoundException($"{path}: there is no such folder or file to take a chat template from", path))
        elif path.EndsWith(".json", StringComparison.OrdinalIgnoreCase) then
            let config = JsonValue.read MaximumBytes path

            match ofConfig config with
            | [] -> raise (InvalidDataException $"{path}: key 'chat_template' is missing or null")
            | templates ->
                { Source = path
                  Templates = templates
                  SpecialTokens = specialTokens config }
        else
            { Source = path
              Templates = [ defaultName, ofFile path ]
              SpecialTokens = [] }

    /// <summary>
    /// The template of a name; without one, <c>tool_use</c> where there are tools and such a template, else
    /// <c>default</c>, else the only one.
    /// </summary>
    /// <exception cref="T:System.IO.InvalidDataException">There is none: the message names those that there are.</exception>
    let choose (name: string option) (hasTools: bool) (templates: ChatTemplates) : JinjaTemplate =
        let find name =
            templates.Templates |> List.tryFind (fst >> (=) name) |> Option.map snd

        let found =
            match name, templates.Templates with
            | Some name, _ -> find name
            | None, [ _, only ] -> Some only
            | None, _ ->
                (if hasTools then find "tool_use" else None)
                |> Option.orElseWith (fun () -> find defaultName)

        match found with
        | Some template -> template
        | None ->
            let names =
                String.Join(", ", templates.Templates |> List.map (fun (name, _) -> $"'{name}'"))

            let wanted = name |> Option.defaultValue defaultName
            raise (InvalidDataException $"{templates.Source} has no chat template '{wanted}'; it has {names}")
