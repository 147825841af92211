namespace Reft.Core

open System.Numerics

/// The arguments of a call by the names of parameters.
[<RequireQualifiedAccess>]
module internal TemplateBinding =

    /// Lays arguments out over parameters, the first of which are required.
    let bind (run: TemplateRun) (callee: string) (parameters: string list) (required: int) (call: TemplateCall) =
        let found = Array.create<TemplateValue option> parameters.Length None

        call.Positional
        |> List.iteri (fun i value ->
            if i >= found.Length then
                run.Fail $"{callee} takes at most {parameters.Length} arguments, found {call.Positional.Length}"

            found[i] <- Some value)

        for name, value in call.Named do
            match List.tryFindIndex ((=) name) parameters with
            | Some i when found[i].IsNone -> found[i] <- Some value
            | Some _ -> run.Fail $"{callee}: the argument '{name}' is given twice"
            | None -> run.Fail $"{callee} has no argument '{name}'"

        for i in 0 .. required - 1 do
            if found[i].IsNone then
                run.Fail $"{callee}: the argument '{parameters[i]}' is missing"

        found

    /// The only argument of a call.
    let one (run: TemplateRun) (callee: string) (parameter: string) (call: TemplateCall) : TemplateValue =
        let found = bind run callee [ parameter ] 1 call
        found[0].Value

    let private wrong (run: TemplateRun) (callee: string) (expected: string) (value: TemplateValue) : 'a =
        TemplateValue.demand run value
        run.Fail $"{callee}: expected {expected}, found a value of type '{TemplateValue.typeName value}'"

    let text (run: TemplateRun) (callee: string) (value: TemplateValue) : string =
        match value with
        | TemplateValue.Text s
        | TemplateValue.Markup s -> s
        | other -> wrong run callee "a string" other

    /// A whole number, pulled into the range of 32 bits: what counts or indexes is no larger.
    let int (run: TemplateRun) (callee: string) (value: TemplateValue) : int =
        match value with
        | TemplateValue.Int _
        | TemplateValue.Bool _ ->
            int (BigInteger.Max(BigInteger -1_000_000_000, BigInteger.Min(BigInteger 1_000_000_000, value.AsInteger)))
        | other -> wrong run callee "a whole number" other

    let orElse (preset: 'a) (read: TemplateValue -> 'a) (value: TemplateValue option) : 'a =
        match value with
        | Some value -> read value
        | None -> preset

    /// The same, where None stands for no argument too.
    let orNone (preset: 'a) (read: TemplateValue -> 'a) (value: TemplateValue option) : 'a =
        match value with
        | None
        | Some TemplateValue.Nothing -> preset
        | Some value -> read value
