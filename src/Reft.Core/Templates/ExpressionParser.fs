namespace Reft.Core

open System
open System.Collections.Generic

/// Reads the expressions of a template, with Jinja's precedences.
[<Sealed>]
type internal ExpressionParser(template: string) =
    let tokens = TemplateLexer.Tokens template
    let bounds = TemplateRun DateTime.MinValue
    let mutable at = 0

    /// The names that each open macro mentions.
    let mentioned = Stack<HashSet<string>>()

    let line () =
        let struct (line, _) = tokens[at]
        line

    let current () =
        let struct (_, token) = tokens[at]
        token

    let next () =
        if at + 1 < tokens.Length then
            let struct (_, token) = tokens[at + 1]
            token
        else
            TemplateToken.End

    let advance () =
        if at + 1 < tokens.Length then
            at <- at + 1

    let fail (message: string) : 'a = raise (TemplateFault(line (), message))

    let isSymbol symbol =
        current () = TemplateToken.Symbol symbol

    let isWord word = current () = TemplateToken.Name word

    let skip condition =
        if condition then
            advance ()

        condition

    let expectSymbol symbol =
        if not (skip (isSymbol symbol)) then
            fail $"expected '{symbol}', found {(current ()).Description}"

    let expectName () =
        match current () with
        | TemplateToken.Name name ->
            advance ()
            name
        | token -> fail $"expected a name, found {token.Description}"

    /// Items with commas between them, and perhaps one at the end, up to and with the closing bracket.
    let separated (closing: string) (read: unit -> 'a) : 'a list =
        let items = ResizeArray<'a>()

        while not (skip (isSymbol closing)) do
            if items.Count > 0 then
                expectSymbol ","

            if not (isSymbol closing) then
                items.Add(read ())

        List.ofSeq items

    let at' line form : TemplateExpression = { Line = line; Form = form }

    let nested read =
        bounds.Line <- line ()
        bounds.Enter()
        let result = read ()
        bounds.Leave()
        result

    /// Left-associative operators over a higher level. A chain nests like brackets: it is walked the same way.
    let chain
        (read: unit -> TemplateExpression)
        (tryOperator: unit -> (TemplateExpression -> TemplateExpression -> TemplateExpressionForm) option)
        =
        let mutable left = read ()
        let mutable levels = 0
        let mutable go = true

        while go do
            let started = line ()

            match tryOperator () with
            | Some make ->
                bounds.Line <- started
                bounds.Enter()
                levels <- levels + 1
                left <- at' started (make left (read ()))
            | None -> go <- false

        for _ in 1..levels do
            bounds.Leave()

        left

    let operators (symbols: string list) () =
        match current () with
        | TemplateToken.Symbol symbol when List.contains symbol symbols ->
            advance ()
            Some(fun a b -> TemplateExpressionForm.Arithmetic(a, symbol, b))
        | _ -> None

    member _.Line = line ()
    member _.Current = current ()
    member _.Next = next ()
    member _.Advance() = advance ()
    member _.Fail(message: string) : 'a = fail message
    member _.SkipSymbol(symbol: string) : bool = skip (isSymbol symbol)
    member _.SkipWord(word: string) : bool = skip (isWord word)
    member _.IsWord(word: string) : bool = isWord word
    member _.ExpectSymbol(symbol: string) : unit = expectSymbol symbol
    member _.ExpectName() : string = expectName ()
    member _.Nested(read: unit -> 'a) : 'a = nested read

    /// The names that are mentioned while something is read.
    member _.Mentioned(read: unit -> 'a) : 'a * HashSet<string> =
        mentioned.Push(HashSet())
        let result = read ()
        let names = mentioned.Pop()

        match mentioned.TryPeek() with
        | true, outer -> outer.UnionWith names
        | _ -> ()

        result, names

    member parser.Expression() : TemplateExpression = nested (fun () -> parser.Conditional())

    /// Several expressions with commas between them are a tuple.
    member parser.TupleOr(conditional: bool, ends: unit -> bool, mayBeEmpty: bool) : TemplateExpression =
        let started = line ()

        let read () =
            if conditional then
                parser.Expression()
            else
                nested (fun () -> parser.Or())

        let ended () =
            ends ()
            || match current () with
               | TemplateToken.PrintEnd
               | TemplateToken.BlockEnd -> true
               | _ -> isSymbol ")"

        let items = ResizeArray<TemplateExpression>()
        let mutable isTuple = false
        let mutable go = not (ended ())

        while go do
            items.Add(read ())

            if skip (isSymbol ",") then
                isTuple <- true
                go <- not (ended ())
            else
                go <- false

        if isTuple then
            at' started (TemplateExpressionForm.Tuple(List.ofSeq items))
        elif items.Count = 1 then
            items[0]
        elif mayBeEmpty then
            at' started (TemplateExpressionForm.Tuple [])
        else
            fail $"expected an expression, found {(current ()).Description}"

    member private parser.Conditional() : TemplateExpression =
        let started = line ()
        let mutable result = parser.Or()
        let mutable levels = 0

        while skip (isWord "if") do
            bounds.Enter()
            levels <- levels + 1
            let test = parser.Or()

            let otherwise =
                if skip (isWord "else") then
                    Some(parser.Expression())
                else
                    None

            result <- at' started (TemplateExpressionForm.Conditional(test, result, otherwise))

        for _ in 1..levels do
            bounds.Leave()

        result

    member private parser.Or() : TemplateExpression =
        chain parser.And (fun () ->
            if skip (isWord "or") then
                Some(fun a b -> TemplateExpressionForm.Or(a, b))
            else
                None)

    member private parser.And() : TemplateExpression =
        chain parser.Not (fun () ->
            if skip (isWord "and") then
                Some(fun a b -> TemplateExpressionForm.And(a, b))
            else
                None)

    member private parser.Not() : TemplateExpression =
        let started = line ()

        if skip (isWord "not") then
            at' started (TemplateExpressionForm.Not(nested (fun () -> parser.Not())))
        else
            parser.Comparison()

    member private parser.Comparison() : TemplateExpression =
        let started = line ()
        let first = parser.Sum()
        let rest = ResizeArray<string * TemplateExpression>()
        let mutable go = true

        while go do
            match current () with
            | TemplateToken.Symbol("==" | "!=" | "<" | "<=" | ">" | ">=" as symbol) ->
                advance ()
                rest.Add((symbol, parser.Sum()))
            | TemplateToken.Name "in" ->
                advance ()
                rest.Add(("in", parser.Sum()))
            | TemplateToken.Name "not" when next () = TemplateToken.Name "in" ->
                advance ()
                advance ()
                rest.Add(("not in", parser.Sum()))
            | _ -> go <- false

        if rest.Count = 0 then
            first
        else
            at' started (TemplateExpressionForm.Comparison(first, List.ofSeq rest))

    member private parser.Sum() : TemplateExpression =
        chain parser.Concatenation (operators [ "+"; "-" ])

    member private parser.Concatenation() : TemplateExpression =
        let started = line ()
        let items = ResizeArray [ parser.Product() ]

        while skip (isSymbol "~") do
            items.Add(parser.Product())

        if items.Count = 1 then
            items[0]
        else
            at' started (TemplateExpressionForm.Concatenation(List.ofSeq items))

    member private parser.Product() : TemplateExpression =
        chain parser.Power (operators [ "*"; "/"; "//"; "%" ])

    member private parser.Power() : TemplateExpression =
        chain (fun () -> parser.Unary true) (operators [ "**" ])

    member private parser.Unary(filters: bool) : TemplateExpression =
        let started = line ()

        let plain =
            if skip (isSymbol "-") then
                at' started (TemplateExpressionForm.Negative(nested (fun () -> parser.Unary false)))
            elif skip (isSymbol "+") then
                at' started (TemplateExpressionForm.Positive(nested (fun () -> parser.Unary false)))
            else
                parser.Primary()

        let postfixed = parser.Postfix plain
        if filters then parser.Filters postfixed else postfixed

    member parser.Primary() : TemplateExpression =
        let started = line ()

        let constant value =
            at' started (TemplateExpressionForm.Constant value)

        match current () with
        | TemplateToken.Name name ->
            advance ()

            match name with
            | "true"
            | "True" -> constant (TemplateValue.Bool true)
            | "false"
            | "False" -> constant (TemplateValue.Bool false)
            | "none"
            | "None" -> constant TemplateValue.Nothing
            | _ ->
                match mentioned.TryPeek() with
                | true, names -> names.Add name |> ignore
                | _ -> ()

                at' started (TemplateExpressionForm.Name name)
        | TemplateToken.Text first ->
            advance ()
            let parts = ResizeArray [ first ]

            let rec more () =
                match current () with
                | TemplateToken.Text part ->
                    advance ()
                    parts.Add part
                    more ()
                | _ -> ()

            more ()
            constant (TemplateValue.Text(String.concat "" parts))
        | TemplateToken.Integer n ->
            advance ()
            constant (TemplateValue.Int n)
        | TemplateToken.Float x ->
            advance ()
            constant (TemplateValue.Float x)
        | TemplateToken.Symbol "(" ->
            advance ()
            let inner = parser.TupleOr(true, (fun () -> false), true)
            expectSymbol ")"
            inner
        | TemplateToken.Symbol "[" ->
            advance ()
            at' started (TemplateExpressionForm.List(separated "]" parser.Expression))
        | TemplateToken.Symbol "{" ->
            advance ()

            let pairs =
                separated "}" (fun () ->
                    let key = parser.Expression()
                    expectSymbol ":"
                    key, parser.Expression())

            at' started (TemplateExpressionForm.Dict pairs)
        | token -> fail $"expected an expression, found {token.Description}"

    /// Subscripts and calls after an expression. Each nests one deeper, as in a chain.
    member parser.Postfix(operand: TemplateExpression) : TemplateExpression =
        let step (node: TemplateExpression) =
            let started = line ()

            match current () with
            | TemplateToken.Symbol "." ->
                advance ()

                match current () with
                | TemplateToken.Name name when name.StartsWith("__", StringComparison.Ordinal) ->
                    fail $"the attribute '{name}' is not supported: names that begin with '__' are Python's own"
                | TemplateToken.Name name ->
                    advance ()
                    Some(at' started (TemplateExpressionForm.Attribute(node, name)))
                | TemplateToken.Integer n ->
                    advance ()
                    let index = at' started (TemplateExpressionForm.Constant(TemplateValue.Int n))
                    Some(at' started (TemplateExpressionForm.Item(node, index)))
                | token -> fail $"expected a name or a number after '.', found {token.Description}"
            | TemplateToken.Symbol "[" ->
                advance ()

                match separated "]" parser.Subscript with
                | [ index ] -> Some(at' started (TemplateExpressionForm.Item(node, index)))
                | [] -> fail "expected an index or a slice, found ']'"
                | many ->
                    let index = at' started (TemplateExpressionForm.Tuple many)
                    Some(at' started (TemplateExpressionForm.Item(node, index)))
            | TemplateToken.Symbol "(" -> Some(parser.Call node)
            | _ -> None

        parser.Repeat(operand, step)

    member private _.Repeat(operand: TemplateExpression, step: TemplateExpression -> TemplateExpression option) =
        let mutable node = operand
        let mutable levels = 0
        let mutable go = true

        while go do
            bounds.Line <- line ()

            match step node with
            | Some deeper ->
                bounds.Enter()
                levels <- levels + 1
                node <- deeper
            | None -> go <- false

        for _ in 1..levels do
            bounds.Leave()

        node

    member private parser.Subscript() : TemplateExpression =
        let started = line ()
        let ended () = isSymbol "]" || isSymbol ","

        let bound () =
            if ended () || isSymbol ":" then
                None
            else
                Some(parser.Expression())

        let first = bound ()

        if skip (isSymbol ":") then
            let last = bound ()
            let step = if skip (isSymbol ":") then bound () else None
            at' started (TemplateExpressionForm.Slice(first, last, step))
        else
            match first with
            | Some index -> index
            | None -> fail $"expected an index or a slice, found {(current ()).Description}"

    member private parser.Call(callee: TemplateExpression) : TemplateExpression =
        at' (line ()) (TemplateExpressionForm.Call(callee, parser.Arguments()))

    member private parser.Arguments() : TemplateArguments =
        let mutable arguments = TemplateArguments.None
        expectSymbol "("
        let mutable go = not (skip (isSymbol ")"))

        while go do
            let hasRest = arguments.Rest.IsSome || arguments.RestKeywords.IsSome

            if isSymbol "*" && not hasRest then
                advance ()

                arguments <-
                    { arguments with
                        Rest = Some(parser.Expression()) }
            elif isSymbol "**" && arguments.RestKeywords.IsNone then
                advance ()

                arguments <-
                    { arguments with
                        RestKeywords = Some(parser.Expression()) }
            else
                match current (), next () with
                | TemplateToken.Name name, TemplateToken.Symbol "=" when arguments.RestKeywords.IsNone ->
                    advance ()
                    advance ()

                    if List.exists (fst >> (=) name) arguments.Keywords then
                        fail $"the argument '{name}' is given twice"

                    arguments <-
                        { arguments with
                            Keywords = (name, parser.Expression()) :: arguments.Keywords }
                | _ when not hasRest && arguments.Keywords.IsEmpty ->
                    arguments <-
                        { arguments with
                            Arguments = parser.Expression() :: arguments.Arguments }
                | _ -> fail "arguments by position come before those by name"

            if skip (isSymbol ")") then
                go <- false
            else
                expectSymbol ","
                go <- not (skip (isSymbol ")"))

        { arguments with
            Arguments = List.rev arguments.Arguments
            Keywords = List.rev arguments.Keywords }

    /// Filters, tests and calls of their results.
    member private parser.Filters(operand: TemplateExpression) : TemplateExpression =
        parser.Repeat(
            operand,
            fun node ->
                match current () with
                | TemplateToken.Symbol "|" ->
                    advance ()
                    Some(parser.Filter(Some node))
                | TemplateToken.Name "is" -> Some(parser.Test node)
                | TemplateToken.Symbol "(" -> Some(parser.Call node)
                | _ -> None
        )

    /// One filter, from its name on.
    member parser.Filter(input: TemplateExpression option) : TemplateExpression =
        let started = line ()
        let name = parser.Dotted()

        if not (TemplateFilters.isKnown name) then
            raise (TemplateFault(started, $"the filter '{name}' is not supported; supported: {TemplateFilters.names}"))

        let arguments =
            if isSymbol "(" then
                parser.Arguments()
            else
                TemplateArguments.None

        at' started (TemplateExpressionForm.Filter(input, name, arguments))

    /// The filters of a block: one after the other over its text.
    member parser.BlockFilters(first: TemplateExpression) : TemplateExpression =
        parser.Repeat(
            first,
            fun node ->
                if skip (isSymbol "|") then
                    Some(parser.Filter(Some node))
                else
                    None
        )

    member private _.Dotted() : string =
        let mutable name = expectName ()

        while skip (isSymbol ".") do
            name <- $"{name}.{expectName ()}"

        name

    member private parser.Test(operand: TemplateExpression) : TemplateExpression =
        let started = line ()
        advance ()
        let negated = skip (isWord "not")
        let name = parser.Dotted()

        if not (TemplateTests.isKnown name) then
            raise (TemplateFault(started, $"the test '{name}' is not supported; supported: {TemplateTests.names}"))

        let arguments =
            match current () with
            | TemplateToken.Symbol "(" -> parser.Arguments()
            | TemplateToken.Name("else" | "or" | "and") -> TemplateArguments.None
            | TemplateToken.Name "is" -> fail "tests cannot follow each other with 'is'"
            | TemplateToken.Name _
            | TemplateToken.Text _
            | TemplateToken.Integer _
            | TemplateToken.Float _
            | TemplateToken.Symbol("[" | "{") ->
                let argument = nested (fun () -> parser.Postfix(parser.Primary()))

                { TemplateArguments.None with
                    Arguments = [ argument ] }
            | _ -> TemplateArguments.None

        let test = at' started (TemplateExpressionForm.Test(operand, name, arguments))

        if negated then
            at' started (TemplateExpressionForm.Not test)
        else
            test
