namespace Reft.Core

open System.Collections.Generic
open System.Numerics

/// The functions that every chat template may call: Jinja's own, and those that Hugging Face adds.
[<RequireQualifiedAccess>]
module internal TemplateGlobals =

    let private range (run: TemplateRun) (call: TemplateCall) =
        let number (value: TemplateValue) =
            match value with
            | TemplateValue.Int _
            | TemplateValue.Bool _ -> value.AsInteger
            | other ->
                TemplateValue.demand run other
                run.Fail $"range: expected whole numbers, found a value of type '{TemplateValue.typeName other}'"

        let start, stop, step =
            match call.Positional |> List.map number with
            | [ stop ] -> BigInteger.Zero, stop, BigInteger.One
            | [ start; stop ] -> start, stop, BigInteger.One
            | [ start; stop; step ] -> start, stop, step
            | _ -> run.Fail "range: expected 1 … 3 arguments"

        if step.IsZero then
            run.Fail "range: the step must not be zero"

        let count = (stop - start) / step

        if count > BigInteger TemplateLimit.range then
            run.Fail $"range: too long: the limit is {TemplateLimit.range} numbers"

        run.Charge 1L

        TemplateValue.Range
            { Start = start
              Stop = stop
              Step = step }

    /// The pairs that dict() and namespace() are made of.
    let private pairs (run: TemplateRun) (name: string) (call: TemplateCall) =
        let first =
            match call.Positional with
            | [] -> [||]
            | [ TemplateValue.Dict dict ] -> Array.map2 (fun key value -> struct (key, value)) dict.Keys dict.Values
            | [ other ] ->
                TemplateValue.toArray run other
                |> Array.map (fun pair ->
                    match TemplateValue.toArray run pair with
                    | [| key; value |] -> struct (key, value)
                    | _ -> run.Fail $"{name}: expected pairs")
            | _ -> run.Fail $"{name}: expected at most one argument by position"

        Array.append first [| for key, value in call.Named -> struct (TemplateValue.Text key, value) |]

    let private space (run: TemplateRun) (call: TemplateCall) =
        let attributes = Dictionary<string, TemplateValue>()

        for struct (key, value) in pairs run "namespace" call do
            attributes[TemplateBinding.text run "namespace" key] <- value

        run.Charge(1L + int64 attributes.Count)
        TemplateValue.Namespace attributes

    let private raiseException (run: TemplateRun) (call: TemplateCall) : TemplateValue =
        let arguments = TemplateBinding.bind run "raise_exception" [ "message" ] 1 call
        run.Fail $"the template refuses this conversation: {TemplateText.str run arguments[0].Value}"

    let private now (run: TemplateRun) (call: TemplateCall) =
        let arguments = TemplateBinding.bind run "strftime_now" [ "format" ] 1 call
        let format = TemplateBinding.text run "strftime_now" arguments[0].Value
        TemplateValue.Text(PythonTime.strftime run format run.Now)

    let private method name apply =
        TemplateValue.Function(TemplateFunction(name, apply))

    let private cycler (run: TemplateRun) (call: TemplateCall) =
        if call.Positional.IsEmpty || not call.Named.IsEmpty then
            run.Fail "cycler: expected at least one item"

        let items = Array.ofList call.Positional
        let mutable at = 0
        let state = ref at

        TemplateValue.Function(
            TemplateFunction(
                "cycler",
                (fun _ -> run.Fail "'cycler' object is not callable"),
                fun name ->
                    match name with
                    | "current" -> Some items[state.Value]
                    | "next" ->
                        Some(
                            method "cycler.next" (fun _ ->
                                let item = items[state.Value]
                                state.Value <- (state.Value + 1) % items.Length
                                item)
                        )
                    | "reset" ->
                        Some(
                            method "cycler.reset" (fun _ ->
                                state.Value <- 0
                                TemplateValue.Nothing)
                        )
                    | _ -> None
            )
        )

    let private joiner (run: TemplateRun) (call: TemplateCall) =
        let separator =
            (TemplateBinding.bind run "joiner" [ "sep" ] 0 call)[0]
            |> Option.defaultValue (TemplateValue.Text ", ")

        let used = ref false

        method "joiner" (fun _ ->
            if used.Value then
                separator
            else
                used.Value <- true
                TemplateValue.Text "")

    /// Every global by its name.
    let all (run: TemplateRun) : (string * TemplateValue) list =
        [ for name, apply in
              [ "range", range
                "dict", (fun run call -> TemplateValue.dict run (pairs run "dict" call))
                "namespace", space
                "raise_exception", raiseException
                "strftime_now", now
                "cycler", cycler
                "joiner", joiner
                "lipsum", (fun run _ -> run.Fail "the function 'lipsum' is not supported: its text is random") ] do
              name, method name (apply run) ]
