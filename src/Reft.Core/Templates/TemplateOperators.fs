namespace Reft.Core

open System
open System.Numerics

/// The operators of expressions, as Python computes them.
[<RequireQualifiedAccess>]
module internal TemplateOperators =

    let private unsupported (run: TemplateRun) symbol (a: TemplateValue) (b: TemplateValue) : 'a =
        TemplateValue.demand run a
        TemplateValue.demand run b

        run.Fail
            $"unsupported operand types for {symbol}: '{TemplateValue.typeName a}' and '{TemplateValue.typeName b}'"

    let private (|Whole|_|) (value: TemplateValue) =
        match value with
        | TemplateValue.Int n -> Some n
        | TemplateValue.Bool _ -> Some value.AsInteger
        | _ -> None

    let private (|Number|_|) (value: TemplateValue) =
        match value with
        | TemplateValue.Float x -> Some x
        | Whole n -> Some(float n)
        | _ -> None

    let private joined (run: TemplateRun) (a: string) (b: string) =
        run.ChargeText(int64 a.Length + int64 b.Length)
        a + b

    let private add (run: TemplateRun) (a: TemplateValue) (b: TemplateValue) : TemplateValue =
        match a, b with
        | TemplateValue.Text x, TemplateValue.Text y -> TemplateValue.Text(joined run x y)
        | TemplateValue.Markup x, TemplateValue.Markup y -> TemplateValue.Markup(joined run x y)
        | TemplateValue.Markup x, TemplateValue.Text y -> TemplateValue.Markup(joined run x (PythonText.escapeHtml y))
        | TemplateValue.Text x, TemplateValue.Markup y -> TemplateValue.Markup(joined run (PythonText.escapeHtml x) y)
        | Whole x, Whole y -> TemplateValue.integer run (x + y)
        | Number x, Number y -> TemplateValue.Float(x + y)
        | TemplateValue.List x, TemplateValue.List y ->
            run.Charge(int64 x.Items.Length + int64 y.Items.Length)
            TemplateValue.list run (Array.append x.Items y.Items)
        | TemplateValue.Tuple x, TemplateValue.Tuple y ->
            run.Charge(int64 x.Items.Length + int64 y.Items.Length)
            TemplateValue.tuple run (Array.append x.Items y.Items)
        | (TemplateValue.Text _ | TemplateValue.Markup _), other when not other.IsUndefined ->
            run.Fail $"can only concatenate str (not \"{TemplateValue.typeName other}\") to str"
        | _ -> unsupported run "+" a b

    let private repeated (run: TemplateRun) (n: BigInteger) (value: TemplateValue) =
        let count = if n.Sign < 0 then BigInteger.Zero else n

        let checkedCount (length: int) =
            if length = 0 then
                0
            else
                let total = count * BigInteger length

                if total > BigInteger TemplateLimit.text then
                    run.Fail $"a repetition is too long: {total} items, the limit is {TemplateLimit.text}"

                int count

        match value with
        | TemplateValue.Text s ->
            let count = checkedCount s.Length
            run.ChargeText(int64 count * int64 s.Length)
            TemplateValue.Text(String.replicate count s)
        | TemplateValue.List items ->
            let count = checkedCount items.Items.Length
            run.Charge(int64 count * int64 items.Items.Length)
            TemplateValue.list run (Array.concat (Seq.replicate count items.Items))
        | TemplateValue.Tuple items ->
            let count = checkedCount items.Items.Length
            run.Charge(int64 count * int64 items.Items.Length)
            TemplateValue.tuple run (Array.concat (Seq.replicate count items.Items))
        | other -> run.Fail $"a value of type '{TemplateValue.typeName other}' cannot be repeated"

    let private isRepeatable (value: TemplateValue) =
        match value with
        | TemplateValue.Text _
        | TemplateValue.List _
        | TemplateValue.Tuple _ -> true
        | _ -> false

    let private multiply (run: TemplateRun) (a: TemplateValue) (b: TemplateValue) =
        match a, b with
        | Whole x, Whole y ->
            if x.GetBitLength() + y.GetBitLength() > 2L * TemplateLimit.integerBits then
                run.Fail "an integer is too large"

            TemplateValue.integer run (x * y)
        | Number x, Number y -> TemplateValue.Float(x * y)
        | Whole n, value when isRepeatable value -> repeated run n value
        | value, Whole n when isRepeatable value -> repeated run n value
        | _ -> unsupported run "*" a b

    let private byZero (run: TemplateRun) : 'a = run.Fail "division by zero"

    let private power (run: TemplateRun) (a: TemplateValue) (b: TemplateValue) =
        match a, b with
        | Whole x, Whole y when y.Sign >= 0 ->
            if
                BigInteger.Abs x > BigInteger.One
                && (y > BigInteger TemplateLimit.integerBits
                    || x.GetBitLength() * int64 y > TemplateLimit.integerBits + x.GetBitLength())
            then
                run.Fail "an integer is too large"

            if BigInteger.Abs x <= BigInteger.One then
                TemplateValue.Int(
                    if x.Sign < 0 && y.IsEven then BigInteger.One
                    elif y.IsZero then BigInteger.One
                    else x
                )
            else
                TemplateValue.integer run (BigInteger.Pow(x, int y))
        | Number x, Number y ->
            if x = 0.0 && y < 0.0 then
                run.Fail "0.0 cannot be raised to a negative power"

            let result = Math.Pow(x, y)

            if x < 0.0 && Double.IsNaN result && not (Double.IsNaN y) then
                run.Fail "a negative number to a fractional power is not supported: it is complex"

            TemplateValue.Float result
        | _ -> unsupported run "**" a b

    /// What products and quotients of large integers take: the words of one times the words of the other.
    let private chargeWhole (run: TemplateRun) (a: TemplateValue) (b: TemplateValue) =
        match a, b with
        | Whole x, Whole y -> run.Charge(x.GetBitLength() / 32L * (y.GetBitLength() / 32L) / 32L)
        | _ -> ()

    let arithmetic (run: TemplateRun) (symbol: string) (a: TemplateValue) (b: TemplateValue) : TemplateValue =
        chargeWhole run a b

        match symbol, a, b with
        | "+", _, _ -> add run a b
        | "*", _, _ -> multiply run a b
        | "**", _, _ -> power run a b
        | "%", TemplateValue.Text format, _ -> TemplateValue.Text(PythonFormat.percent run format b)
        | "-", Whole x, Whole y -> TemplateValue.integer run (x - y)
        | "-", Number x, Number y -> TemplateValue.Float(x - y)
        | "/", Number _, Number 0.0
        | "//", Number _, Number 0.0
        | "%", Number _, Number 0.0 -> byZero run
        | "/", Number x, Number y -> TemplateValue.Float(x / y)
        | "//", Whole x, Whole y ->
            let struct (quotient, _) = PythonNumber.floorDivide x y
            TemplateValue.Int quotient
        | "//", Number x, Number y -> TemplateValue.Float(floor (x / y))
        | "%", Whole x, Whole y ->
            let struct (_, remainder) = PythonNumber.floorDivide x y
            TemplateValue.Int remainder
        | "%", Number x, Number y -> TemplateValue.Float(PythonNumber.modulo x y)
        | _ -> unsupported run symbol a b

    let negative (run: TemplateRun) (value: TemplateValue) =
        match value with
        | Whole n -> TemplateValue.Int(-n)
        | TemplateValue.Float x -> TemplateValue.Float(-x)
        | other ->
            TemplateValue.demand run other
            run.Fail $"bad operand type for unary -: '{TemplateValue.typeName other}'"

    let positive (run: TemplateRun) (value: TemplateValue) =
        match value with
        | Whole n -> TemplateValue.Int n
        | TemplateValue.Float _ -> value
        | other ->
            TemplateValue.demand run other
            run.Fail $"bad operand type for unary +: '{TemplateValue.typeName other}'"

    /// <c>item in container</c>.
    let contains (run: TemplateRun) (item: TemplateValue) (container: TemplateValue) : bool =
        match container with
        | TemplateValue.Text s
        | TemplateValue.Markup s ->
            match item with
            | TemplateValue.Text part
            | TemplateValue.Markup part ->
                run.ChargeText(int64 s.Length)
                s.Contains(part, StringComparison.Ordinal)
            | other ->
                TemplateValue.demand run other
                run.Fail $"'in <string>' requires string as left operand, not {TemplateValue.typeName other}"
        | TemplateValue.Dict dict ->
            if not (TemplateValue.isHashable item) then
                run.Fail $"a value of type '{TemplateValue.typeName item}' cannot be the key of a dict"

            (TemplateValue.tryFind run item dict).IsSome
        | _ ->
            match TemplateValue.tryIterate run container with
            | Some items ->
                items
                |> Seq.exists (fun other ->
                    run.Charge 1L
                    TemplateValue.equal run other item)
            | None -> run.Fail $"argument of type '{TemplateValue.typeName container}' is not iterable"

    let compare (run: TemplateRun) (symbol: string) (a: TemplateValue) (b: TemplateValue) : bool =
        match symbol with
        | "==" -> TemplateValue.equal run a b
        | "!=" -> not (TemplateValue.equal run a b)
        | "in" -> contains run a b
        | "not in" -> not (contains run a b)
        | _ -> TemplateOrder.holds run symbol a b

    /// How many items it has; None where Python's len() fails.
    let tryLength (value: TemplateValue) : int option =
        match value with
        | TemplateValue.Undefined _ -> Some 0
        | TemplateValue.Text s
        | TemplateValue.Markup s -> Some(PythonText.length s)
        | TemplateValue.List items
        | TemplateValue.Tuple items
        | TemplateValue.View(_, items) -> Some items.Items.Length
        | TemplateValue.Dict dict -> Some dict.Keys.Length
        | TemplateValue.Range range -> Some range.Length
        | _ -> None

    let length (run: TemplateRun) (value: TemplateValue) : int =
        run.Charge value.Size

        match tryLength value with
        | Some n -> n
        | None -> run.Fail $"object of type '{TemplateValue.typeName value}' has no len()"
