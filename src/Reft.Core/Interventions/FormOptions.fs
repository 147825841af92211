namespace Reft.Core

/// <summary>
/// Reading the options of a method from data that may come from a file: each is named when it is missing, unknown or of
/// the wrong kind.
/// </summary>
[<RequireQualifiedAccess>]
module FormOptions =

    let private refuse (subject: string) (key: string) (expected: string) (found: FormOption) =
        invalidArg "options" $"option '{key}' of {subject}: expected {expected}, found {found}"

    /// <summary>Refuses options that the method has not.</summary>
    let onlyKnown (subject: string) (known: string list) (options: (string * FormOption) list) : unit =
        for key, _ in options do
            if not (List.contains key known) then
                let list = String.concat ", " known
                invalidArg (nameof options) $"{subject} has no option '{key}': expected one of {list}"

        match options |> List.countBy fst |> List.tryFind (fun (_, times) -> times > 1) with
        | Some(key, _) -> invalidArg (nameof options) $"option '{key}' of {subject} is given twice"
        | None -> ()

    /// <summary>A whole number that must be there.</summary>
    let required (subject: string) (key: string) (options: (string * FormOption) list) : int =
        match options |> List.tryFind (fst >> (=) key) with
        | Some(_, FormOption.Int value) -> value
        | Some(_, other) -> refuse subject key "a whole number" other
        | None -> invalidArg (nameof options) $"{subject} needs the option '{key}', a whole number"

    /// <summary>A word, or <paramref name="otherwise"/> where it is not given.</summary>
    let text (subject: string) (key: string) (otherwise: string) (options: (string * FormOption) list) : string =
        match options |> List.tryFind (fst >> (=) key) with
        | Some(_, FormOption.Text value) -> value
        | Some(_, other) -> refuse subject key "a word" other
        | None -> otherwise

    /// <summary>A whole number, or <paramref name="otherwise"/> where it is not given.</summary>
    let int (subject: string) (key: string) (otherwise: int) (options: (string * FormOption) list) : int =
        match options |> List.tryFind (fst >> (=) key) with
        | Some(_, FormOption.Int value) -> value
        | Some(_, other) -> refuse subject key "a whole number" other
        | None -> otherwise

    /// <summary>A number, whole or not, or <paramref name="otherwise"/> where it is not given.</summary>
    let float (subject: string) (key: string) (otherwise: float) (options: (string * FormOption) list) : float =
        match options |> List.tryFind (fst >> (=) key) with
        | Some(_, FormOption.Float value) -> value
        | Some(_, FormOption.Int value) -> float value
        | Some(_, other) -> refuse subject key "a number" other
        | None -> otherwise

    /// <summary>A switch, or <paramref name="otherwise"/> where it is not given.</summary>
    let flag (subject: string) (key: string) (otherwise: bool) (options: (string * FormOption) list) : bool =
        match options |> List.tryFind (fst >> (=) key) with
        | Some(_, FormOption.Flag value) -> value
        | Some(_, other) -> refuse subject key "true or false" other
        | None -> otherwise
