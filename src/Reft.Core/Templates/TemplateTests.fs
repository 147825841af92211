namespace Reft.Core

open System

/// The tests after <c>is</c>.
[<RequireQualifiedAccess>]
module internal TemplateTests =

    type private Test = TemplateRun -> TemplateValue -> TemplateCall -> bool

    let private plain (name: string) (holds: TemplateValue -> bool) : string * Test =
        name,
        fun run value call ->
            TemplateBinding.bind run $"the test '{name}'" [] 0 call |> ignore
            holds value

    let private compared (symbol: string) (name: string) : string * Test =
        name,
        fun run value call ->
            let other = (TemplateBinding.one run $"the test '{name}'" "other" call)
            TemplateOperators.compare run symbol value other

    let private remainder (run: TemplateRun) (value: TemplateValue) (by: TemplateValue) =
        TemplateOperators.arithmetic run "%" value by

    let private parity (name: string) (rest: int) : string * Test =
        name,
        fun run value call ->
            TemplateBinding.bind run $"the test '{name}'" [] 0 call |> ignore
            TemplateValue.AreEqual(remainder run value (TemplateValue.int 2), TemplateValue.int rest)

    let private same (a: TemplateValue) (b: TemplateValue) =
        match a, b with
        | TemplateValue.Undefined _, TemplateValue.Undefined _ -> false
        | TemplateValue.List x, TemplateValue.List y
        | TemplateValue.Tuple x, TemplateValue.Tuple y -> Object.ReferenceEquals(x, y)
        | TemplateValue.Dict x, TemplateValue.Dict y -> Object.ReferenceEquals(x, y)
        | _ ->
            TemplateValue.typeName a = TemplateValue.typeName b
            && TemplateValue.AreEqual(a, b)

    let private isNumber value =
        match value with
        | TemplateValue.Bool _
        | TemplateValue.Int _
        | TemplateValue.Float _ -> true
        | _ -> false

    let private isSequence value =
        match value with
        | TemplateValue.Undefined _
        | TemplateValue.Text _
        | TemplateValue.Markup _
        | TemplateValue.List _
        | TemplateValue.Tuple _
        | TemplateValue.Dict _
        | TemplateValue.Range _ -> true
        | _ -> false

    let private isIterable value =
        isSequence value || value.IsView || value.IsGenerator

    let private table: Map<string, Test> =
        Map
            [ plain "defined" (fun value -> not value.IsUndefined)
              plain "undefined" _.IsUndefined
              plain "none" _.IsNothing
              plain "boolean" _.IsBool
              plain "true" (fun value ->
                  match value with
                  | TemplateValue.Bool b -> b
                  | _ -> false)
              plain "false" (fun value ->
                  match value with
                  | TemplateValue.Bool b -> not b
                  | _ -> false)
              plain "integer" _.IsInt
              plain "float" _.IsFloat
              plain "number" isNumber
              plain "string" (fun value -> value.IsText || value.IsMarkup)
              plain "mapping" _.IsDict
              plain "sequence" isSequence
              plain "iterable" isIterable
              plain "callable" (fun value -> value.IsFunction || value.IsUndefined)
              plain "escaped" _.IsMarkup
              parity "odd" 1
              parity "even" 0
              "divisibleby",
              (fun run value call ->
                  let by = (TemplateBinding.one run "the test 'divisibleby'" "num" call)
                  TemplateValue.AreEqual(remainder run value by, TemplateValue.int 0))
              "lower", (fun run value _ -> PythonText.isLower (TemplateText.str run value))
              "upper", (fun run value _ -> PythonText.isUpper (TemplateText.str run value))
              "sameas", (fun run value call -> same value (TemplateBinding.one run "the test 'sameas'" "other" call))
              "in",
              (fun run value call ->
                  TemplateOperators.contains run value (TemplateBinding.one run "the test 'in'" "seq" call))
              for symbol, names in
                  [ "==", [ "=="; "eq"; "equalto" ]
                    "!=", [ "!="; "ne" ]
                    ">", [ ">"; "gt"; "greaterthan" ]
                    ">=", [ ">="; "ge" ]
                    "<", [ "<"; "lt"; "lessthan" ]
                    "<=", [ "<="; "le" ] ] do
                  for name in names do
                      compared symbol name ]

    let isKnown (name: string) : bool = table.ContainsKey name

    /// The names of all tests, for messages.
    let names: string =
        String.Join(", ", table.Keys |> Seq.filter (Seq.forall Char.IsLetter))

    /// Whether a test holds.
    let apply (run: TemplateRun) (name: string) (value: TemplateValue) (call: TemplateCall) : bool =
        match Map.tryFind name table with
        | Some test -> test run value call
        | None -> run.Fail $"the test '{name}' is not supported; supported: {names}"
