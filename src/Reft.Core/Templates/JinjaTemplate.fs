namespace Reft.Core

open System
open System.IO
open System.Text.Json

/// <summary>A chat template that has been read: the Jinja text that turns a conversation into a prompt.</summary>
[<Sealed>]
type JinjaTemplate internal (source: string, text: string, statements: TemplateStatement list) =

    /// <summary>The file that it comes from, as error messages call it.</summary>
    member _.Source: string = source

    /// <summary>The template as it was written.</summary>
    member _.Text: string = text

    member internal _.Statements = statements

/// <summary>What a chat template renders, as the arguments of transformers' <c>apply_chat_template</c>.</summary>
type ChatInput =
    {
        /// <summary>A JSON array of messages, objects with <c>role</c>, <c>content</c> and whatever else the template reads.</summary>
        Messages: JsonElement
        /// <summary>A JSON array of tools; without it the template sees <c>none</c>.</summary>
        Tools: JsonElement option
        /// <summary>A JSON array of documents; without it the template sees <c>none</c>.</summary>
        Documents: JsonElement option
        /// <summary>Whether the prompt ends where the assistant's answer begins.</summary>
        AddGenerationPrompt: bool
        /// <summary>Whether the last message is left open, so that its continuation can be generated.</summary>
        ContinueFinalMessage: bool
        /// <summary>More variables by name, e.g. <c>bos_token</c> or <c>enable_thinking</c>; the last one of a name holds.</summary>
        Variables: (string * JsonElement) list
        /// <summary>The local time that <c>strftime_now</c> shows.</summary>
        Now: DateTime
    }

/// <summary>
/// Reading and rendering chat templates as transformers does, with Jinja's immutable sandbox under <c>trim_blocks</c> and
/// <c>lstrip_blocks</c>. A template does no input or output, and its steps, strings, nesting and text are bounded.
/// </summary>
[<RequireQualifiedAccess>]
module JinjaTemplate =

    let private faulty (source: string) (run: unit -> 'a) : 'a =
        try
            run ()
        with TemplateFault(line, message) ->
            raise (InvalidDataException $"{source}: line {line}: {message}")

    /// <summary>Reads a template.</summary>
    /// <param name="source">What error messages call it, usually its file.</param>
    /// <param name="text">The template.</param>
    /// <exception cref="T:System.IO.InvalidDataException">
    /// It is wrong, or it has what is not supported: the message names the construct and the line.
    /// </exception>
    let parse (source: string) (text: string) : JinjaTemplate =
        JinjaTemplate(source, text, faulty source (fun () -> TemplateParser.parse text))

    let private value (what: string) (element: JsonElement) : TemplateValue =
        try
            TemplateJson.ofElement element
        with
        | :? InvalidOperationException as e ->
            raise (InvalidDataException($"{what}: a string is not valid Unicode: {e.Message}", e))
        | :? ArgumentException as e -> raise (InvalidDataException($"{what}: {e.Message}", e))

    let private reserved = [ "messages"; "tools"; "documents"; "add_generation_prompt" ]

    let private array (what: string) (element: JsonElement) =
        if element.ValueKind <> JsonValueKind.Array then
            raise (InvalidDataException $"{what}: expected a list, found {JsonValue.describe element}")

        value what element

    /// Stands where the last message ends. The space tells whether the template keeps white space.
    let private mark = "CONTINUE_FINAL_MESSAGE_TAG "

    let private withKey (key: string) (replaced: TemplateValue) (dict: TemplateDict) =
        Array.map2 (fun k v -> struct (k, v)) dict.Keys dict.Values
        |> fun pairs -> Array.append pairs [| struct (TemplateValue.Text key, replaced) |]
        |> TemplateDict
        |> TemplateValue.Dict

    let private cannotContinue () : 'a =
        raise (InvalidDataException "continue_final_message: the last message has no text to continue")

    let private key (name: string) (value: TemplateValue) =
        match value with
        | TemplateValue.Dict dict -> dict.TryFind(TemplateValue.Text name)
        | _ -> None

    /// Puts the mark at the end of the last message's text.
    let private markLast (messages: TemplateValue) =
        match messages with
        | TemplateValue.List items when items.Items.Length > 0 ->
            let last = items.Items.Length - 1

            let marked =
                match items.Items[last], key "content" items.Items[last] with
                | TemplateValue.Dict message, Some(TemplateValue.Text text) ->
                    withKey "content" (TemplateValue.Text(text + mark)) message
                | TemplateValue.Dict message, Some(TemplateValue.List parts) ->
                    match parts.Items |> Array.tryFindIndexBack (fun part -> (key "text" part).IsSome) with
                    | Some i ->
                        match parts.Items[i], key "text" parts.Items[i] with
                        | TemplateValue.Dict part, Some(TemplateValue.Text text) ->
                            parts.Items
                            |> Array.updateAt i (withKey "text" (TemplateValue.Text(text + mark)) part)
                            |> TemplateItems
                            |> TemplateValue.List
                            |> fun parts -> withKey "content" parts message
                        | _ -> cannotContinue ()
                    | None -> cannotContinue ()
                | _ -> cannotContinue ()

            items.Items |> Array.updateAt last marked |> TemplateItems |> TemplateValue.List
        | _ -> cannotContinue ()

    let private cutAtMark (text: string) =
        match text.LastIndexOf(mark.TrimEnd(), StringComparison.Ordinal) with
        | -1 ->
            raise (
                InvalidDataException
                    "continue_final_message: the last message does not appear in what the template renders"
            )
        | at ->
            let before = text.Substring(0, at)

            if text.AsSpan(at).StartsWith mark then
                before
            else
                PythonText.stripEnd None before

    /// <summary>Renders a conversation.</summary>
    /// <param name="input">The conversation and the variables.</param>
    /// <param name="template">The template.</param>
    /// <returns>The prompt's text.</returns>
    /// <exception cref="T:System.IO.InvalidDataException">
    /// The template refuses the conversation by <c>raise_exception</c>, fails on it, or goes beyond a limit: the message
    /// names the line.
    /// </exception>
    let render (input: ChatInput) (template: JinjaTemplate) : string =
        if input.ContinueFinalMessage && input.AddGenerationPrompt then
            raise (
                InvalidDataException
                    "continue_final_message and add_generation_prompt exclude each other: the last message is either left open or followed by a new one"
            )

        for name, _ in input.Variables do
            if List.contains name reserved then
                raise (
                    InvalidDataException
                        $"the variable '{name}' has a place of its own: give it there, not among the other variables"
                )

        let optional what element =
            element |> Option.map (array what) |> Option.defaultValue TemplateValue.Nothing

        let messages = array "messages" input.Messages

        let variables =
            [ for name, element in input.Variables do
                  name, value $"the variable '{name}'" element
              "messages",
              (if input.ContinueFinalMessage then
                   markLast messages
               else
                   messages)
              "tools", optional "tools" input.Tools
              "documents", optional "documents" input.Documents
              "add_generation_prompt", TemplateValue.Bool input.AddGenerationPrompt ]

        let text =
            faulty template.Source (fun () ->
                TemplateRenderer(TemplateRun input.Now).Render(template.Statements, variables))

        if input.ContinueFinalMessage then cutAtMark text else text
