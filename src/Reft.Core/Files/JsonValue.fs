namespace Reft.Core

open System
open System.IO
open System.Text.Json
open System.Text.Unicode

/// <summary>A value in a JSON file, together with where it stands, so that every complaint names file and key.</summary>
[<NoEquality; NoComparison>]
type JsonValue =
    {
        /// The file it was read from.
        File: string
        /// The key, dotted and indexed, e.g. <c>rope_parameters.factor</c>; empty at the root.
        Key: string
        /// The value itself.
        Element: JsonElement
    }

/// <summary>
/// Strict reading of JSON files: bounded size, valid UTF-8, no comments, no trailing commas, no key twice. A complaint is
/// an <see cref="T:System.IO.InvalidDataException"/> with the file, the key, what was expected and what was found.
/// </summary>
[<RequireQualifiedAccess>]
module JsonValue =

    /// What a message calls a value.
    let internal describe (element: JsonElement) =
        let clipped (text: string) =
            if text.Length <= 60 then
                text
            else
                text.Substring(0, 60) + "…"

        match element.ValueKind with
        | JsonValueKind.Object -> "an object"
        | JsonValueKind.Array -> $"a list of {element.GetArrayLength()}"
        | _ -> clipped (element.GetRawText())

    /// <summary>The complaint that a value is not what was expected.</summary>
    let unexpected (expected: string) (value: JsonValue) : exn =
        let key = if value.Key = "" then "the root" else $"key '{value.Key}'"

        InvalidDataException $"{value.File}: {key}: expected {expected}, found {describe value.Element}"

    /// <summary>The root of a JSON text.</summary>
    /// <param name="file">What the complaints call it.</param>
    /// <param name="utf8">Its bytes.</param>
    let parse (file: string) (utf8: ReadOnlyMemory<byte>) : JsonValue =
        if not (Utf8.IsValid utf8.Span) then
            raise (InvalidDataException $"{file}: expected JSON in UTF-8, found bytes that are not UTF-8")

        try
            use document =
                JsonDocument.Parse(utf8, JsonDocumentOptions(AllowDuplicateProperties = false))

            { File = file
              Key = ""
              Element = document.RootElement.Clone() }
        with
        | :? JsonException as e -> raise (InvalidDataException($"{file}: expected JSON: {e.Message}", e))
        // What the search for duplicate keys says of a key that is not valid Unicode.
        | :? InvalidOperationException as e ->
            raise (InvalidDataException($"{file}: expected JSON whose keys are valid Unicode: {e.Message}", e))

    /// <summary>The root of a JSON file of at most <paramref name="maximum"/> bytes.</summary>
    /// <exception cref="T:System.IO.FileNotFoundException">There is no such file.</exception>
    let read (maximum: int) (path: string) : JsonValue =
        use stream = new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.Read)

        if stream.Length > int64 maximum then
            raise (
                InvalidDataException
                    $"{path}: expected a JSON file of at most {maximum} bytes, found {stream.Length} bytes"
            )

        let bytes = Array.zeroCreate<byte>(int stream.Length)
        stream.ReadExactly(bytes.AsSpan())

        // A byte order mark, which some editors write, is no part of the text.
        let start =
            if ReadOnlySpan(bytes).StartsWith(System.Text.Encoding.UTF8.Preamble) then
                3
            else
                0

        parse path (ReadOnlyMemory(bytes, start, bytes.Length - start))

    let private child key element (value: JsonValue) =
        { value with
            Key = if value.Key = "" then key else $"{value.Key}.{key}"
            Element = element }

    let private requireObject (value: JsonValue) =
        if value.Element.ValueKind <> JsonValueKind.Object then
            raise (unexpected "an object" value)

    /// A \u escape may name half a surrogate pair, which is no text.
    let private text (read: unit -> string | null) (value: JsonValue) : string =
        try
            read () |> string
        with :? InvalidOperationException ->
            raise (unexpected "a text in valid Unicode" value)

    /// <summary>The value of a key; <c>None</c> where it is absent or null.</summary>
    let tryField (key: string) (value: JsonValue) : JsonValue option =
        requireObject value

        match value.Element.TryGetProperty key with
        | true, element when element.ValueKind <> JsonValueKind.Null -> Some(child key element value)
        | _ -> None

    /// <summary>Whether an object has the key, be it with the value null.</summary>
    let hasField (key: string) (value: JsonValue) : bool =
        requireObject value
        value.Element.TryGetProperty key |> fst

    /// <summary>The value of a key that must be there.</summary>
    let field (key: string) (value: JsonValue) : JsonValue =
        match tryField key value with
        | Some found -> found
        | None ->
            let at = if value.Key = "" then "" else $" in '{value.Key}'"
            raise (InvalidDataException $"{value.File}: key '{key}'{at} is missing or null")

    /// <summary>Every key of an object with its value, in order.</summary>
    let fields (value: JsonValue) : (string * JsonValue) list =
        requireObject value

        [ for property in value.Element.EnumerateObject() do
              let key = value |> text (fun () -> property.Name)
              key, child key property.Value value ]

    /// <summary>The values of a list.</summary>
    let items (value: JsonValue) : JsonValue list =
        if value.Element.ValueKind <> JsonValueKind.Array then
            raise (unexpected "a list" value)

        [ for i, element in Seq.indexed (value.Element.EnumerateArray()) do
              { value with
                  Key = $"{value.Key}[{i}]"
                  Element = element } ]

    /// <summary>A text.</summary>
    let string (value: JsonValue) : string =
        if value.Element.ValueKind <> JsonValueKind.String then
            raise (unexpected "a text" value)

        value |> text value.Element.GetString

    /// <summary>true or false.</summary>
    let bool (value: JsonValue) : bool =
        match value.Element.ValueKind with
        | JsonValueKind.True -> true
        | JsonValueKind.False -> false
        | _ -> raise (unexpected "true or false" value)

    let private number (expected: string) (read: JsonElement -> bool * 'T) (value: JsonValue) : 'T =
        if value.Element.ValueKind = JsonValueKind.Number then
            match read value.Element with
            | true, number -> number
            | _ -> raise (unexpected expected value)
        else
            raise (unexpected expected value)

    /// <summary>A whole number of <paramref name="low"/> … <paramref name="high"/>.</summary>
    let int (low: int) (high: int) (value: JsonValue) : int =
        let expected = $"a whole number of {low} … {high}"
        let found = value |> number expected (fun element -> element.TryGetInt32())

        if found < low || found > high then
            raise (unexpected expected value)

        found

    /// <summary>A whole number ≥ 0 of at most 63 bits.</summary>
    let natural (value: JsonValue) : int64 =
        let found =
            value |> number "a whole number ≥ 0" (fun element -> element.TryGetInt64())

        if found < 0L then
            raise (unexpected "a whole number ≥ 0" value)

        found

    /// <summary>A finite number.</summary>
    let float (value: JsonValue) : float =
        let found =
            value |> number "a finite number" (fun element -> element.TryGetDouble())

        if not (Double.IsFinite found) then
            raise (unexpected "a finite number" value)

        found

    /// <summary>A finite number above 0, also when it is rounded to fp32, in which models compute.</summary>
    let positive (value: JsonValue) : float =
        let found = float value

        if not (Single.IsFinite(float32 found)) || float32 found <= 0.0f then
            raise (unexpected "a number above 0 that fp32 can hold" value)

        found
