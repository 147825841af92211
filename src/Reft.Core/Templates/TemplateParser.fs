namespace Reft.Core

open System

/// Reads a template: the statements, and the text and expressions between them.
[<RequireQualifiedAccess>]
module internal TemplateParser =

    let private at line form : TemplateStatement = { Line = line; Form = form }

    /// What Jinja has and a chat template has no business with.
    let private refused =
        [ "include", "it would read another file"
          "import", "it would read another file"
          "from", "it would read another file"
          "extends", "it would read another file"
          "block", "it is for templates that extend others"
          "autoescape", "chat templates do not escape"
          "do", "Hugging Face does not enable it"
          "debug", "Hugging Face does not enable it"
          "trans", "Hugging Face does not enable it"
          "pluralize", "Hugging Face does not enable it" ]
        |> Map.ofList

    let rec private target (parser: ExpressionParser) (namespaces: bool) : TemplateTarget =
        match parser.Current with
        | TemplateToken.Name("true" | "false" | "none" | "True" | "False" | "None" as name) ->
            parser.Fail $"cannot assign to '{name}'"
        | TemplateToken.Name name ->
            parser.Advance()

            if namespaces && parser.SkipSymbol "." then
                TemplateTarget.NamespaceAttribute(name, parser.ExpectName())
            else
                TemplateTarget.Name name
        | TemplateToken.Symbol "(" ->
            parser.Nested(fun () ->
                parser.Advance()
                let inner = targets parser namespaces
                parser.ExpectSymbol ")"
                inner)
        | token -> parser.Fail $"expected a name to assign to, found {token.Description}"

    /// One target, or several with commas between them.
    and private targets (parser: ExpressionParser) (namespaces: bool) : TemplateTarget =
        let first = target parser namespaces

        if parser.Current = TemplateToken.Symbol "," then
            let all = ResizeArray [ first ]

            let ended () =
                match parser.Current with
                | TemplateToken.Name "in"
                | TemplateToken.Symbol("=" | ")")
                | TemplateToken.BlockEnd -> true
                | _ -> false

            while parser.SkipSymbol "," && not (ended ()) do
                all.Add(target parser namespaces)

            TemplateTarget.Tuple(List.ofSeq all)
        else
            first

    let private parameters (parser: ExpressionParser) =
        parser.ExpectSymbol "("
        let found = ResizeArray<string * TemplateExpression option>()

        while not (parser.SkipSymbol ")") do
            if found.Count > 0 then
                parser.ExpectSymbol ","

            let name = parser.ExpectName()

            if name = "caller" || name = "varargs" || name = "kwargs" then
                parser.Fail $"a parameter named '{name}' is not supported"

            if found.Exists(fun (other, _) -> other = name) then
                parser.Fail $"the parameter '{name}' comes twice"

            if parser.SkipSymbol "=" then
                found.Add((name, Some(parser.Expression())))
            elif found.Exists(fun (_, preset) -> preset.IsSome) then
                parser.Fail $"the parameter '{name}' has no default but follows one that has"
            else
                found.Add((name, None))

        List.ofSeq found

    let private endTag (parser: ExpressionParser) =
        match parser.Current with
        | TemplateToken.BlockEnd -> parser.Advance()
        | token -> parser.Fail $"expected '%%}}', found {token.Description}"

    /// The statements up to a tag with one of these names, which is then the current token; its name.
    let rec private body
        (parser: ExpressionParser)
        (inLoop: bool)
        (opener: string)
        (openedAt: int)
        (ends: string list)
        =
        let found = ResizeArray<TemplateStatement>()
        let mutable ended: string option = None

        while ended.IsNone do
            let line = parser.Line

            match parser.Current with
            | TemplateToken.Data text ->
                found.Add(at line (TemplateStatementForm.Data text))
                parser.Advance()
            | TemplateToken.PrintBegin ->
                parser.Advance()
                let shown = parser.TupleOr(true, (fun () -> false), false)

                match parser.Current with
                | TemplateToken.PrintEnd -> parser.Advance()
                | token -> parser.Fail $"expected '}}}}', found {token.Description}"

                found.Add(at line (TemplateStatementForm.Print shown))
            | TemplateToken.BlockBegin ->
                parser.Advance()

                match parser.Current with
                | TemplateToken.Name name when List.contains name ends -> ended <- Some name
                | TemplateToken.Name name ->
                    found.AddRange(parser.Nested(fun () -> statement parser inLoop name))
                    endTag parser
                | token -> parser.Fail $"expected the name of a statement, found {token.Description}"
            | TemplateToken.End when ends.IsEmpty -> ended <- Some ""
            | TemplateToken.End ->
                let closing = ends |> List.last
                parser.Fail $"the template ends inside '{opener}' of line {openedAt}: expected '{closing}'"
            | token -> parser.Fail $"unexpected {token.Description}"

        List.ofSeq found, ended.Value

    /// The body of a tag that has been read up to its end.
    and private bodyOf (parser: ExpressionParser) inLoop opener openedAt ends =
        parser.SkipSymbol ":" |> ignore
        endTag parser
        let statements, ended = body parser inLoop opener openedAt ends
        parser.Advance()
        statements, ended

    and private macro
        (parser: ExpressionParser)
        (line: int)
        (name: string)
        (tag: string)
        parameters
        ends
        : TemplateMacro =
        let (parameters, statements), names =
            parser.Mentioned(fun () ->
                let parameters = parameters ()
                parameters, fst (bodyOf parser false tag line ends))

        { Name = name
          Parameters = parameters
          Body = statements
          UsesVarargs = names.Contains "varargs"
          UsesKwargs = names.Contains "kwargs"
          UsesCaller = names.Contains "caller" }

    and private statement (parser: ExpressionParser) (inLoop: bool) (name: string) : TemplateStatement list =
        let line = parser.Line
        let one form = [ at line form ]
        parser.Advance()

        match name with
        | "if" ->
            let rec branches found =
                let test = parser.TupleOr(false, (fun () -> false), false)
                let statements, ended = bodyOf parser inLoop "if" line [ "elif"; "else"; "endif" ]
                let found = (test, statements) :: found

                match ended with
                | "elif" -> branches found
                | "else" -> List.rev found, fst (bodyOf parser inLoop "if" line [ "endif" ])
                | _ -> List.rev found, []

            one (TemplateStatementForm.If(branches []))
        | "for" ->
            let target = targets parser false

            if not (parser.SkipWord "in") then
                parser.Fail $"expected 'in', found {parser.Current.Description}"

            let items = parser.TupleOr(false, (fun () -> parser.IsWord "recursive"), false)

            let condition =
                if parser.SkipWord "if" then
                    Some(parser.Expression())
                else
                    None

            let recursive = parser.SkipWord "recursive"
            let statements, ended = bodyOf parser true "for" line [ "else"; "endfor" ]

            let otherwise =
                if ended = "else" then
                    fst (bodyOf parser inLoop "for" line [ "endfor" ])
                else
                    []

            one (
                TemplateStatementForm.For
                    { Target = target
                      Items = items
                      Condition = condition
                      Recursive = recursive
                      Body = statements
                      Otherwise = otherwise }
            )
        | "break"
        | "continue" when not inLoop -> raise (TemplateFault(line, $"'{name}' stands outside a loop"))
        | "break" -> one TemplateStatementForm.Break
        | "continue" -> one TemplateStatementForm.Continue
        | "set" ->
            let target = targets parser true

            if parser.SkipSymbol "=" then
                one (TemplateStatementForm.Set(target, parser.TupleOr(true, (fun () -> false), false)))
            else
                let filter =
                    if parser.SkipSymbol "|" then
                        Some(parser.BlockFilters(parser.Filter None))
                    else
                        None

                let statements, _ = bodyOf parser inLoop "set" line [ "endset" ]
                one (TemplateStatementForm.SetBlock(target, filter, statements))
        | "with" ->
            let values = ResizeArray<TemplateTarget * TemplateExpression>()

            while parser.Current <> TemplateToken.BlockEnd
                  && parser.Current <> TemplateToken.Symbol ":" do
                if values.Count > 0 then
                    parser.ExpectSymbol ","

                let target = targets parser false
                parser.ExpectSymbol "="
                values.Add((target, parser.Expression()))

            let statements, _ = bodyOf parser inLoop "with" line [ "endwith" ]
            one (TemplateStatementForm.With(List.ofSeq values, statements))
        | "macro" ->
            let name = parser.ExpectName()

            one (
                TemplateStatementForm.Macro(macro parser line name "macro" (fun () -> parameters parser) [ "endmacro" ])
            )
        | "call" ->
            let mutable call = None

            let caller =
                macro
                    parser
                    line
                    "caller"
                    "call"
                    (fun () ->
                        let parameters =
                            if parser.Current = TemplateToken.Symbol "(" then
                                parameters parser
                            else
                                []

                        call <- Some(parser.Expression())
                        parameters)
                    [ "endcall" ]

            match call with
            | Some({ Form = TemplateExpressionForm.Call _ } as call) ->
                one (TemplateStatementForm.CallBlock(call, caller))
            | _ -> raise (TemplateFault(line, "expected the call of a macro after 'call'"))
        | "filter" ->
            let filter = parser.BlockFilters(parser.Filter None)
            let statements, _ = bodyOf parser inLoop "filter" line [ "endfilter" ]
            one (TemplateStatementForm.FilterBlock(filter, statements))
        | "generation" ->
            // Marks the assistant's tokens for training; the text is that of its body.
            let statements, _ = bodyOf parser false "generation" line [ "endgeneration" ]
            one (TemplateStatementForm.Scope statements)
        | "print" ->
            let shown = ResizeArray<TemplateStatement>()

            while parser.Current <> TemplateToken.BlockEnd do
                if shown.Count > 0 then
                    parser.ExpectSymbol ","

                shown.Add(at parser.Line (TemplateStatementForm.Print(parser.Expression())))

            List.ofSeq shown
        | _ ->
            let message =
                match Map.tryFind name refused with
                | Some why -> $"the statement '{name}' is not supported: {why}"
                | None when
                    name.StartsWith("end", StringComparison.Ordinal)
                    || name = "else"
                    || name = "elif"
                    ->
                    $"'{name}' closes nothing"
                | None -> $"the statement '{name}' is not supported"

            raise (TemplateFault(line, message))

    /// Reads a template; a fault names the construct that is wrong or not supported, and its line.
    let parse (template: string) : TemplateStatement list =
        let parser = ExpressionParser template
        body parser false "" 1 [] |> fst
