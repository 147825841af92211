namespace Reft.Core

open System
open System.Collections.Generic
open System.Text

/// Names and their values, inside an outer scope.
[<Sealed>]
type internal TemplateScope(outer: TemplateScope option) =
    let names = Dictionary<string, TemplateValue>()
    member _.Set(name: string, value: TemplateValue) : unit = names[name] <- value

    member _.TryFind(name: string) : TemplateValue option =
        match names.TryGetValue name with
        | true, value -> Some value
        | _ -> outer |> Option.bind (fun (outer: TemplateScope) -> outer.TryFind name)

/// How a statement ended.
type internal TemplateFlow =
    | Next = 0
    | Break = 1
    | Continue = 2

/// Renders statements. Scopes are Jinja's: a loop's turn, a macro, a block of `set`, `with`, `call` or `filter` each have
/// one; `if` has none.
[<Sealed>]
type internal TemplateRenderer(run: TemplateRun) =
    let mutable output = StringBuilder()

    let write (text: string) =
        run.ChargeText(int64 text.Length)

        if output.Length + text.Length > TemplateLimit.text then
            run.Fail $"the text is too long: the limit is {TemplateLimit.text} characters"

        output.Append text |> ignore

    /// What is written meanwhile, and how it ended.
    let capture (render: unit -> TemplateFlow) : struct (TemplateFlow * string) =
        let before = output
        output <- StringBuilder()
        let flow = render ()
        let text = output.ToString()
        run.ChargeText(int64 text.Length)
        output <- before
        struct (flow, text)

    let inner scope = TemplateScope(Some scope)

    let rec assign (scope: TemplateScope) (target: TemplateTarget) (value: TemplateValue) : unit =
        match target with
        | TemplateTarget.Name name -> scope.Set(name, value)
        | TemplateTarget.NamespaceAttribute(name, attribute) ->
            match scope.TryFind name with
            | Some(TemplateValue.Namespace attributes) ->
                run.Charge 1L
                attributes[attribute] <- value
            | _ -> run.Fail $"cannot assign to '{name}.{attribute}': '{name}' is not a namespace"
        | TemplateTarget.Tuple targets ->
            let values = TemplateValue.toArray run value

            if values.Length <> targets.Length then
                run.Fail $"expected {targets.Length} values to unpack, found {values.Length}"

            List.iteri (fun i target -> assign scope target values[i]) targets

    let callValue (callee: TemplateValue) (call: TemplateCall) : TemplateValue =
        match callee with
        | TemplateValue.Function f -> f.Call call
        | other ->
            TemplateValue.demand run other
            run.Fail $"'{TemplateValue.typeName other}' object is not callable"

    member private renderer.Arguments(scope: TemplateScope, arguments: TemplateArguments) : TemplateCall =
        let positional =
            arguments.Arguments |> List.map (fun e -> renderer.Evaluate(scope, e))

        let named =
            arguments.Keywords
            |> List.map (fun (name, e) -> name, renderer.Evaluate(scope, e))

        let rest =
            match arguments.Rest with
            | Some e -> renderer.Evaluate(scope, e) |> TemplateValue.toArray run |> List.ofArray
            | None -> []

        let restNamed =
            match arguments.RestKeywords |> Option.map (fun e -> renderer.Evaluate(scope, e)) with
            | Some(TemplateValue.Dict dict) ->
                [ for i in 0 .. dict.Keys.Length - 1 -> TemplateBinding.text run "'**'" dict.Keys[i], dict.Values[i] ]
            | Some other -> run.Fail $"argument after ** must be a mapping, not {TemplateValue.typeName other}"
            | None -> []

        { Positional = positional @ rest
          Named = named @ restNamed }

    member renderer.Evaluate(scope: TemplateScope, expression: TemplateExpression) : TemplateValue =
        run.Enter()
        run.Charge 1L
        run.Line <- expression.Line
        let value = renderer.EvaluateForm(scope, expression)
        run.Leave()
        value

    member private renderer.EvaluateForm(scope: TemplateScope, expression: TemplateExpression) : TemplateValue =
        let evaluate e = renderer.Evaluate(scope, e)
        // What fails is named by its own line, whatever was evaluated in between.
        let here () = run.Line <- expression.Line

        match expression.Form with
        | TemplateExpressionForm.Constant value -> value
        | TemplateExpressionForm.Name name ->
            match scope.TryFind name with
            | Some value -> value
            | None -> TemplateValue.Undefined $"'{name}' is undefined"
        | TemplateExpressionForm.List items -> TemplateValue.list run [| for item in items -> evaluate item |]
        | TemplateExpressionForm.Tuple items -> TemplateValue.tuple run [| for item in items -> evaluate item |]
        | TemplateExpressionForm.Dict pairs ->
            TemplateValue.dict run [| for key, value in pairs -> struct (evaluate key, evaluate value) |]
        | TemplateExpressionForm.Attribute(operand, name) ->
            let value = evaluate operand
            here ()
            TemplateAccess.attribute run value name
        | TemplateExpressionForm.Item(operand, { Form = TemplateExpressionForm.Slice(first, last, step) }) ->
            let bound e =
                match e with
                | Some e -> evaluate e
                | None -> TemplateValue.Nothing

            let value = evaluate operand
            let bounds = bound first, bound last, bound step
            here ()
            TemplateAccess.slice run value bounds
        | TemplateExpressionForm.Item(operand, key) ->
            let value = evaluate operand
            let key = evaluate key
            here ()
            TemplateAccess.item run value key
        | TemplateExpressionForm.Slice _ -> run.Fail "a slice among several indices is not supported"
        | TemplateExpressionForm.Call(callee, arguments) ->
            let callee = evaluate callee
            let call = renderer.Arguments(scope, arguments)
            here ()
            callValue callee call
        | TemplateExpressionForm.Filter(Some input, name, arguments) ->
            let value = evaluate input
            let call = renderer.Arguments(scope, arguments)
            here ()
            TemplateFilters.apply run name value call
        | TemplateExpressionForm.Filter(None, name, _) -> run.Fail $"the filter '{name}' has no input"
        | TemplateExpressionForm.Test(operand, name, arguments) ->
            let value = evaluate operand
            let call = renderer.Arguments(scope, arguments)
            here ()
            TemplateValue.Bool(TemplateTests.apply run name value call)
        | TemplateExpressionForm.Negative operand -> evaluate operand |> TemplateOperators.negative run
        | TemplateExpressionForm.Positive operand -> evaluate operand |> TemplateOperators.positive run
        | TemplateExpressionForm.Not operand -> TemplateValue.Bool(not (TemplateValue.isTrue (evaluate operand)))
        | TemplateExpressionForm.And(a, b) ->
            let first = evaluate a
            if TemplateValue.isTrue first then evaluate b else first
        | TemplateExpressionForm.Or(a, b) ->
            let first = evaluate a
            if TemplateValue.isTrue first then first else evaluate b
        | TemplateExpressionForm.Arithmetic(a, symbol, b) ->
            let a = evaluate a
            let b = evaluate b
            here ()
            TemplateOperators.arithmetic run symbol a b
        | TemplateExpressionForm.Concatenation items ->
            let parts = items |> List.map (fun item -> evaluate item |> TemplateText.str run)
            here ()
            run.ChargeText(parts |> List.sumBy (fun part -> int64 part.Length))
            TemplateValue.Text(String.concat "" parts)
        | TemplateExpressionForm.Comparison(first, rest) ->
            let rec holds left rest =
                match rest with
                | [] -> true
                | (symbol, right) :: rest ->
                    let right = evaluate right
                    here ()
                    TemplateOperators.compare run symbol left right && holds right rest

            TemplateValue.Bool(holds (evaluate first) rest)
        | TemplateExpressionForm.Conditional(test, yes, no) ->
            if TemplateValue.isTrue (evaluate test) then
                evaluate yes
            else
                match no with
                | Some no -> evaluate no
                | None ->
                    TemplateValue.Undefined
                        $"the inline if-expression on line {expression.Line} evaluated to false and no else section was defined."

    /// The filters of a block over its text.
    member private renderer.Filtered(scope: TemplateScope, filter: TemplateExpression, text: string) : TemplateValue =
        match filter.Form with
        | TemplateExpressionForm.Filter(input, name, arguments) ->
            let value =
                match input with
                | Some earlier -> renderer.Filtered(scope, earlier, text)
                | None -> TemplateValue.Text text

            let call = renderer.Arguments(scope, arguments)
            run.Line <- filter.Line
            TemplateFilters.apply run name value call
        | _ -> run.Fail "expected a filter"

    member private renderer.Macro(scope: TemplateScope, macro: TemplateMacro) : TemplateValue =
        let call (call: TemplateCall) : TemplateValue =
            run.Enter()
            let local = inner scope
            let count = macro.Parameters.Length

            let callee =
                if macro.Name = "caller" then
                    "caller"
                else
                    $"the macro '{macro.Name}'"

            if call.Positional.Length > count then
                if macro.UsesVarargs then
                    ()
                else
                    run.Fail $"{callee} takes at most {count} arguments, found {call.Positional.Length}"

            let isParameter (name, _) =
                List.exists (fst >> (=) name) macro.Parameters

            let named, extra = List.partition isParameter call.Named
            let caller, extra = extra |> List.partition (fun (name, _) -> name = "caller")

            match caller with
            | (_, value) :: _ when macro.UsesCaller -> local.Set("caller", value)
            | _ :: _ -> run.Fail $"{callee} takes no 'caller': its body does not call it"
            | [] when macro.UsesCaller -> local.Set("caller", TemplateValue.Undefined "No caller defined")
            | [] -> ()

            match extra with
            | (name, _) :: _ when not macro.UsesKwargs -> run.Fail $"{callee} has no argument '{name}'"
            | _ -> ()

            if macro.UsesVarargs then
                local.Set(
                    "varargs",
                    TemplateValue.tuple
                        run
                        (Array.ofList (List.skip (min count call.Positional.Length) call.Positional))
                )

            if macro.UsesKwargs then
                [| for name, value in extra -> struct (TemplateValue.Text name, value) |]
                |> TemplateValue.dict run
                |> fun extra -> local.Set("kwargs", extra)

            macro.Parameters
            |> List.iteri (fun i (name, preset) ->
                let given = List.tryFind (fst >> (=) name) named |> Option.map snd

                let value =
                    match List.tryItem i call.Positional, given with
                    | Some _, Some _ -> run.Fail $"{callee}: the argument '{name}' is given twice"
                    | Some value, None
                    | None, Some value -> value
                    | None, None ->
                        match preset with
                        | Some e -> renderer.Evaluate(local, e)
                        | None -> TemplateValue.Undefined $"parameter '{name}' was not provided"

                local.Set(name, value))

            let struct (_, text) = capture (fun () -> renderer.Statements(local, macro.Body))
            run.Leave()
            TemplateValue.Text text

        TemplateValue.Function(TemplateFunction($"macro {macro.Name}", call))

    member private renderer.Loop(scope: TemplateScope, loop: TemplateLoop, items: TemplateValue, depth: int) : unit =
        let known =
            if loop.Condition.IsSome then
                None
            else
                TemplateOperators.tryLength items

        let kept =
            match loop.Condition with
            | None -> TemplateValue.iterate run items
            | Some condition ->
                TemplateValue.iterate run items
                |> Seq.filter (fun item ->
                    run.Charge 1L
                    let local = inner scope
                    assign local loop.Target item
                    TemplateValue.isTrue (renderer.Evaluate(local, condition)))

        let state = TemplateLoopState(run, kept, known, depth)

        let recurse (call: TemplateCall) =
            if not loop.Recursive then
                run.Fail "the loop is not marked 'recursive', so it cannot be called"

            let items = (TemplateBinding.one run "loop" "iterable" call)

            let struct (_, text) =
                capture (fun () ->
                    run.Enter()
                    renderer.Loop(scope, loop, items, depth + 1)
                    run.Leave()
                    TemplateFlow.Next)

            TemplateValue.Text text

        let shown =
            TemplateValue.Function(TemplateFunction("loop", recurse, state.Attribute))

        let mutable turns = 0
        let mutable go = true

        while go do
            match state.TryAdvance() with
            | None -> go <- false
            | Some item ->
                turns <- turns + 1
                // A scope and its names.
                run.Charge 10L
                let local = inner scope
                local.Set("loop", shown)
                assign local loop.Target item
                go <- renderer.Statements(local, loop.Body) <> TemplateFlow.Break

        if turns = 0 then
            renderer.Statements(inner scope, loop.Otherwise) |> ignore

    member renderer.Statements(scope: TemplateScope, statements: TemplateStatement list) : TemplateFlow =
        match statements with
        | [] -> TemplateFlow.Next
        | first :: rest ->
            match renderer.Statement(scope, first) with
            | TemplateFlow.Next -> renderer.Statements(scope, rest)
            | flow -> flow

    member private renderer.Statement(scope: TemplateScope, statement: TemplateStatement) : TemplateFlow =
        run.Enter()
        run.Charge 1L
        run.Line <- statement.Line
        let evaluate e = renderer.Evaluate(scope, e)
        let here () = run.Line <- statement.Line

        let flow =
            match statement.Form with
            | TemplateStatementForm.Data text ->
                write text
                TemplateFlow.Next
            | TemplateStatementForm.Print shown ->
                let value = evaluate shown
                here ()
                write (TemplateText.str run value)
                TemplateFlow.Next
            | TemplateStatementForm.If(branches, otherwise) ->
                match branches |> List.tryFind (fun (test, _) -> TemplateValue.isTrue (evaluate test)) with
                | Some(_, body) -> renderer.Statements(scope, body)
                | None -> renderer.Statements(scope, otherwise)
            | TemplateStatementForm.For loop ->
                let items = evaluate loop.Items
                here ()
                renderer.Loop(scope, loop, items, 0)
                TemplateFlow.Next
            | TemplateStatementForm.Break -> TemplateFlow.Break
            | TemplateStatementForm.Continue -> TemplateFlow.Continue
            | TemplateStatementForm.Set(target, e) ->
                let value = evaluate e
                here ()
                assign scope target value
                TemplateFlow.Next
            | TemplateStatementForm.SetBlock(target, filter, body) ->
                let struct (flow, text) = capture (fun () -> renderer.Statements(inner scope, body))

                if flow = TemplateFlow.Next then
                    match filter with
                    | Some filter -> renderer.Filtered(scope, filter, text)
                    | None -> TemplateValue.Text text
                    |> assign scope target

                flow
            | TemplateStatementForm.With(values, body) ->
                let local = inner scope

                let values = values |> List.map (fun (target, e) -> target, evaluate e)

                for target, value in values do
                    assign local target value

                renderer.Statements(local, body)
            | TemplateStatementForm.Macro macro ->
                scope.Set(macro.Name, renderer.Macro(scope, macro))
                TemplateFlow.Next
            | TemplateStatementForm.CallBlock(call, caller) ->
                let caller = renderer.Macro(scope, caller)

                match call.Form with
                | TemplateExpressionForm.Call(callee, arguments) ->
                    let callee = evaluate callee
                    let call = renderer.Arguments(scope, arguments)
                    here ()

                    callValue
                        callee
                        { call with
                            Named = ("caller", caller) :: call.Named }
                    |> TemplateText.str run
                    |> write
                | _ -> run.Fail "expected the call of a macro"

                TemplateFlow.Next
            | TemplateStatementForm.FilterBlock(filter, body) ->
                let struct (flow, text) = capture (fun () -> renderer.Statements(inner scope, body))

                if flow = TemplateFlow.Next then
                    renderer.Filtered(scope, filter, text) |> TemplateText.str run |> write

                flow
            | TemplateStatementForm.Scope body -> renderer.Statements(inner scope, body)

        run.Leave()
        flow

    /// Renders a template with variables, which hide globals of the same names.
    member renderer.Render(statements: TemplateStatement list, variables: (string * TemplateValue) seq) : string =
        let context = TemplateScope None

        for name, value in Seq.append (TemplateGlobals.all run) variables do
            context.Set(name, value)

        renderer.Statements(inner context, statements) |> ignore
        output.ToString()
