namespace Reft.Core

open System.Globalization
open System.Text.Json

/// <summary>
/// Forms as JSON: <c>{"method": "loreft", "rank": 4}</c>, <c>{"sum": […]}</c>, <c>{"then": […]}</c>,
/// <c>{"scale": 0.5, "edit": …}</c>, <c>{"gate": …, "edit": …}</c>, <c>{"dropout": 0.1, "of": "edit", "edit": …}</c>,
/// <c>{"rows": [0, 2], "edit": …}</c>, <c>{"custom": "name"}</c>, <c>{"zero": true}</c>.
/// </summary>
[<RequireQualifiedAccess>]
module FormJson =

    /// Deeper nesting than anyone writes, and shallow enough for any stack.
    [<Literal>]
    let private MaximumDepth = 32

    /// More interventions than anyone combines, and few enough to build a combination part by part.
    [<Literal>]
    let private LargestForm = 4096

    /// A real number always has a point or an exponent, so that 1.0 is not read back as the whole number 1.
    let private writeFloat (writer: Utf8JsonWriter) (value: float) =
        if not (System.Double.IsFinite value) then
            invalidArg
                (nameof value)
                $"an intervention with the number {value} cannot be saved: expected a finite number"

        let text = value.ToString("R", CultureInfo.InvariantCulture)

        writer.WriteRawValue(
            if text.IndexOfAny [| '.'; 'E' |] < 0 then
                text + ".0"
            else
                text
        )

    let rec private writeAt depth (writer: Utf8JsonWriter) (form: Form) : unit =
        if depth > MaximumDepth then
            invalidArg (nameof form) $"an intervention nested deeper than {MaximumDepth} cannot be saved: flatten it"

        let inner = writeAt (depth + 1) writer

        let list (key: string) parts =
            writer.WriteStartArray key
            parts |> List.iter inner
            writer.WriteEndArray()

        let edit form =
            writer.WritePropertyName "edit"
            inner form

        writer.WriteStartObject()

        match form with
        | Form.Zero -> writer.WriteBoolean("zero", true)
        | Form.Method(name, options) ->
            writer.WriteString("method", name)

            for key, value in options do
                writer.WritePropertyName key

                match value with
                | FormOption.Int n -> writer.WriteNumberValue n
                | FormOption.Float x -> writeFloat writer x
                | FormOption.Text text -> writer.WriteStringValue text
                | FormOption.Flag flag -> writer.WriteBooleanValue flag
        | Form.Sum parts -> list "sum" parts
        | Form.Then parts -> list "then" parts
        | Form.Scale(factor, scaled) ->
            writer.WritePropertyName "scale"
            writeFloat writer factor
            edit scaled
        | Form.Gate(gate, gated) ->
            writer.WritePropertyName "gate"
            inner gate
            edit gated
        | Form.Dropout(rate, ofOutput, dropped) ->
            writer.WritePropertyName "dropout"
            writeFloat writer rate
            writer.WriteString("of", (if ofOutput then "output" else "edit"))
            edit dropped
        | Form.Subspace(rows, chosen) ->
            writer.WriteStartArray "rows"
            rows |> List.iter (fun row -> writer.WriteNumberValue row)
            writer.WriteEndArray()
            edit chosen
        | Form.Custom name -> writer.WriteString("custom", name)

        writer.WriteEndObject()

    /// <summary>Writes a form.</summary>
    /// <exception cref="T:System.ArgumentException">It holds a number that is not finite, or is nested too deeply.</exception>
    let write (writer: Utf8JsonWriter) (form: Form) : unit = writeAt 0 writer form

    let private readOption (value: JsonValue) =
        match value.Element.ValueKind with
        | JsonValueKind.String -> JsonValue.string value |> FormOption.Text
        | JsonValueKind.True
        | JsonValueKind.False -> JsonValue.bool value |> FormOption.Flag
        | JsonValueKind.Number ->
            match value.Element.GetRawText().IndexOfAny [| '.'; 'e'; 'E' |] with
            | -1 ->
                JsonValue.int System.Int32.MinValue System.Int32.MaxValue value
                |> FormOption.Int
            | _ -> JsonValue.float value |> FormOption.Float
        | _ -> raise (JsonValue.unexpected "a number, a text, true or false" value)

    /// <summary>Reads a form.</summary>
    /// <exception cref="T:System.IO.InvalidDataException">The value is no form: the message names the file and the key.</exception>
    let read (value: JsonValue) : Form =
        let mutable count = 0
        let root = value

        let counted () =
            count <- count + 1

            if count > LargestForm then
                raise (JsonValue.unexpected $"at most {LargestForm} interventions in one" root)

        let rec form depth (value: JsonValue) =
            counted ()

            if depth > MaximumDepth then
                raise (JsonValue.unexpected $"at most {MaximumDepth} interventions inside one another" value)

            let inner key =
                value |> JsonValue.field key |> form (depth + 1)

            let parts key =
                value |> JsonValue.field key |> JsonValue.items |> List.map (form (depth + 1))

            match JsonValue.fields value with
            | [ "zero", flag ] when JsonValue.bool flag -> Form.Zero
            | [ "sum", _ ] -> Form.Sum(parts "sum")
            | [ "then", _ ] -> Form.Then(parts "then")
            | [ "scale", factor; "edit", _ ] -> Form.Scale(JsonValue.float factor, inner "edit")
            | [ "gate", _; "edit", _ ] -> Form.Gate(inner "gate", inner "edit")
            | [ "dropout", rate; "of", what; "edit", _ ] ->
                let ofOutput =
                    match JsonValue.string what with
                    | "output" -> true
                    | "edit" -> false
                    | _ -> raise (JsonValue.unexpected "edit or output" what)

                Form.Dropout(JsonValue.float rate, ofOutput, inner "edit")
            | [ "rows", rows; "edit", _ ] ->
                let rows =
                    rows |> JsonValue.items |> List.map (JsonValue.int 0 System.Int32.MaxValue)

                Form.Subspace(rows, inner "edit")
            | [ "custom", name ] -> Form.Custom(JsonValue.string name)
            | ("method", name) :: options ->
                Form.Method(JsonValue.string name, options |> List.map (fun (key, value) -> key, readOption value))
            | _ ->
                raise (
                    JsonValue.unexpected
                        "an intervention: an object that begins with method, sum, then, scale, gate, dropout, rows, custom or zero"
                        value
                )

        form 0 value
