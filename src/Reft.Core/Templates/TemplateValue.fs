namespace Reft.Core

open System
open System.Collections.Generic
open System.Numerics

/// A value of a template, as Python has it. Equality is Python's: 1 == 1.0 == True, and lists compare item by item.
[<RequireQualifiedAccess; CustomEquality; NoComparison>]
type internal TemplateValue =
    /// What a missing name or key gives: it prints as nothing, and every use of it fails with this message.
    | Undefined of message: string
    | Nothing
    | Bool of bool
    | Int of BigInteger
    | Float of float
    | Text of string
    /// A text that the filter <c>safe</c> or <c>escape</c> made: what is added to it is escaped for HTML.
    | Markup of string
    | List of TemplateItems
    | Tuple of TemplateItems
    | Dict of TemplateDict
    | Range of TemplateRange
    /// What a dict's keys(), values() or items() gives.
    | View of name: string * TemplateItems
    /// What can be walked through once.
    | Generator of name: string * IEnumerator<TemplateValue>
    | Namespace of Dictionary<string, TemplateValue>
    | Function of TemplateFunction

    override a.Equals(other: obj) =
        match other with
        | :? TemplateValue as b -> TemplateValue.AreEqual(a, b)
        | _ -> false

    static member AreEqual(a: TemplateValue, b: TemplateValue) : bool =
        match a, b with
        | TemplateValue.Undefined _, TemplateValue.Undefined _
        | TemplateValue.Nothing, TemplateValue.Nothing -> true
        | (TemplateValue.Text x | TemplateValue.Markup x), (TemplateValue.Text y | TemplateValue.Markup y) ->
            String.Equals(x, y, StringComparison.Ordinal)
        | TemplateValue.Float x, TemplateValue.Float y -> x = y
        | TemplateValue.Float x, (TemplateValue.Int _ | TemplateValue.Bool _) ->
            Double.IsInteger x && BigInteger x = b.AsInteger
        | (TemplateValue.Int _ | TemplateValue.Bool _), TemplateValue.Float y ->
            Double.IsInteger y && BigInteger y = a.AsInteger
        | (TemplateValue.Int _ | TemplateValue.Bool _), (TemplateValue.Int _ | TemplateValue.Bool _) ->
            a.AsInteger = b.AsInteger
        | TemplateValue.List x, TemplateValue.List y
        | TemplateValue.Tuple x, TemplateValue.Tuple y ->
            Object.ReferenceEquals(x, y)
            || x.Items.Length = y.Items.Length
               && Array.forall2 (fun (p: TemplateValue) q -> TemplateValue.AreEqual(p, q)) x.Items y.Items
        | TemplateValue.Dict x, TemplateValue.Dict y ->
            Object.ReferenceEquals(x, y)
            || x.Keys.Length = y.Keys.Length
               && Array.forall2
                   (fun key value ->
                       match y.TryFind key with
                       | Some other -> TemplateValue.AreEqual(value, other)
                       | None -> false)
                   x.Keys
                   x.Values
        | TemplateValue.Range x, TemplateValue.Range y ->
            x.Length = y.Length
            && (x.Length = 0 || x.Start = y.Start && (x.Length = 1 || x.Step = y.Step))
        | TemplateValue.View(_, x), TemplateValue.View(_, y) -> Object.ReferenceEquals(x, y)
        | TemplateValue.Generator(_, x), TemplateValue.Generator(_, y) -> Object.ReferenceEquals(x, y)
        | TemplateValue.Namespace x, TemplateValue.Namespace y -> Object.ReferenceEquals(x, y)
        | TemplateValue.Function x, TemplateValue.Function y -> Object.ReferenceEquals(x, y)
        | _ -> false

    override value.GetHashCode() =
        match value with
        | TemplateValue.Undefined _ -> 1
        | TemplateValue.Nothing -> 2
        | TemplateValue.Bool _
        | TemplateValue.Int _ -> value.AsInteger.GetHashCode()
        | TemplateValue.Float x ->
            if Double.IsInteger x then
                (BigInteger x).GetHashCode()
            else
                x.GetHashCode()
        | TemplateValue.Text s
        | TemplateValue.Markup s -> s.GetHashCode()
        | TemplateValue.Tuple items ->
            items.Items
            |> Array.fold (fun code item -> HashCode.Combine(code, item.GetHashCode())) 3
        | _ -> 4

    /// The whole number that an integer or a bool is.
    member value.AsInteger: BigInteger =
        match value with
        | TemplateValue.Int n -> n
        | TemplateValue.Bool true -> BigInteger.One
        | _ -> BigInteger.Zero

    /// How much there is to walk through; a text counts a sixteenth of its characters.
    member value.Size: int64 =
        match value with
        | TemplateValue.Text s
        | TemplateValue.Markup s -> 1L + int64 (s.Length / 16)
        | TemplateValue.List items
        | TemplateValue.Tuple items
        | TemplateValue.View(_, items) -> items.Size
        | TemplateValue.Dict dict -> dict.Size
        | _ -> 1L

    member value.Depth: int =
        match value with
        | TemplateValue.List items
        | TemplateValue.Tuple items
        | TemplateValue.View(_, items) -> items.Depth
        | TemplateValue.Dict dict -> dict.Depth
        | _ -> 0

/// Items in order, with what they amount to: values may share parts, so their size can be exponential in their memory.
and [<Sealed>] internal TemplateItems(items: TemplateValue[]) =
    static let most = 1L <<< 40

    let size, depth =
        let mutable size = 1L
        let mutable depth = 0

        for item in items do
            size <- min most (size + item.Size)
            depth <- max depth item.Depth

        size, depth + 1

    member _.Items: TemplateValue[] = items
    member _.Size: int64 = size
    member _.Depth: int = depth

/// Keys and their values, in the order in which the keys first came; the last value of a key holds.
and [<Sealed>] internal TemplateDict(pairs: struct (TemplateValue * TemplateValue)[]) =
    let index = Dictionary<TemplateValue, int>(pairs.Length)

    let keys, values =
        let keys = ResizeArray<TemplateValue>(pairs.Length)
        let values = ResizeArray<TemplateValue>(pairs.Length)

        for struct (key, value) in pairs do
            match index.TryGetValue key with
            | true, at -> values[at] <- value
            | _ ->
                index[key] <- keys.Count
                keys.Add key
                values.Add value

        keys.ToArray(), values.ToArray()

    let parts = TemplateItems(Array.append keys values)
    member _.Keys: TemplateValue[] = keys
    member _.Values: TemplateValue[] = values
    member _.Size: int64 = parts.Size
    member _.Depth: int = parts.Depth

    member _.TryFind(key: TemplateValue) : TemplateValue option =
        match index.TryGetValue key with
        | true, at -> Some values[at]
        | _ -> None

/// Python's range.
and internal TemplateRange =
    { Start: BigInteger
      Stop: BigInteger
      Step: BigInteger }

    /// How many numbers it has: never more than the limit.
    member range.Length: int =
        let distance =
            if range.Step.Sign > 0 then
                range.Stop - range.Start
            else
                range.Start - range.Stop

        if distance.Sign <= 0 then
            0
        else
            int ((distance - BigInteger.One) / BigInteger.Abs range.Step + BigInteger.One)

    member range.Item(i: int) : TemplateValue =
        TemplateValue.Int(range.Start + range.Step * BigInteger i)

/// What a template can call.
and [<Sealed>] internal TemplateFunction
    (name: string, call: TemplateCall -> TemplateValue, attributes: string -> TemplateValue option) =
    new(name, call) = TemplateFunction(name, call, (fun _ -> None))
    member _.Name = name
    member _.Call(arguments: TemplateCall) = call arguments

    /// The attributes of what is more than a function, as <c>loop</c> is.
    member _.Attribute(attribute: string) = attributes attribute

/// The arguments of a call.
and internal TemplateCall =
    { Positional: TemplateValue list
      Named: (string * TemplateValue) list }

    static member Empty = { Positional = []; Named = [] }

[<RequireQualifiedAccess>]
module internal TemplateValue =

    let text (s: string) = TemplateValue.Text s
    let int (n: int) = TemplateValue.Int(BigInteger n)

    let private bounded (run: TemplateRun) depth value =
        if depth > TemplateLimit.valueDepth then
            run.Fail $"lists and dicts nest too deep: the limit is {TemplateLimit.valueDepth} levels"

        value

    let private items (run: TemplateRun) (values: TemplateValue[]) =
        run.Charge(1L + int64 values.Length)
        let items = TemplateItems values
        bounded run items.Depth items

    let list (run: TemplateRun) (values: TemplateValue[]) = TemplateValue.List(items run values)

    let tuple (run: TemplateRun) (values: TemplateValue[]) = TemplateValue.Tuple(items run values)

    let view (run: TemplateRun) (name: string) (values: TemplateValue[]) =
        TemplateValue.View(name, items run values)

    /// What Python calls the value's type, in its messages.
    let typeName (value: TemplateValue) : string =
        match value with
        | TemplateValue.Undefined _ -> "Undefined"
        | TemplateValue.Nothing -> "NoneType"
        | TemplateValue.Bool _ -> "bool"
        | TemplateValue.Int _ -> "int"
        | TemplateValue.Float _ -> "float"
        | TemplateValue.Text _ -> "str"
        | TemplateValue.Markup _ -> "Markup"
        | TemplateValue.List _ -> "list"
        | TemplateValue.Tuple _ -> "tuple"
        | TemplateValue.Dict _ -> "dict"
        | TemplateValue.Range _ -> "range"
        | TemplateValue.View(name, _) -> name
        | TemplateValue.Generator _ -> "generator"
        | TemplateValue.Namespace _ -> "Namespace"
        | TemplateValue.Function _ -> "function"

    /// Fails if the value is undefined, as Jinja does where something is to be done with it.
    let demand (run: TemplateRun) (value: TemplateValue) : unit =
        match value with
        | TemplateValue.Undefined message -> run.Fail message
        | _ -> ()

    let rec isHashable (value: TemplateValue) : bool =
        match value with
        | TemplateValue.List _
        | TemplateValue.Dict _
        | TemplateValue.View _ -> false
        | TemplateValue.Tuple items -> items.Items |> Array.forall isHashable
        | _ -> true

    /// Looks a key up; a key that cannot be one is in no dict.
    let tryFind (run: TemplateRun) (key: TemplateValue) (dict: TemplateDict) : TemplateValue option =
        run.Charge(2L * key.Size)
        if isHashable key then dict.TryFind key else None

    let dict (run: TemplateRun) (pairs: struct (TemplateValue * TemplateValue)[]) : TemplateValue =
        run.Charge(1L + 2L * int64 pairs.Length)

        for struct (key, _) in pairs do
            run.Charge(2L * key.Size)

            if not (isHashable key) then
                run.Fail $"a value of type '{typeName key}' cannot be the key of a dict"

        let dict = TemplateDict pairs
        bounded run dict.Depth (TemplateValue.Dict dict)

    let equal (run: TemplateRun) (a: TemplateValue) (b: TemplateValue) : bool =
        run.Charge(min a.Size b.Size)
        TemplateValue.AreEqual(a, b)

    let isTrue (value: TemplateValue) : bool =
        match value with
        | TemplateValue.Undefined _
        | TemplateValue.Nothing -> false
        | TemplateValue.Bool b -> b
        | TemplateValue.Int n -> not n.IsZero
        | TemplateValue.Float x -> x <> 0.0
        | TemplateValue.Text s
        | TemplateValue.Markup s -> s <> ""
        | TemplateValue.List items
        | TemplateValue.Tuple items
        | TemplateValue.View(_, items) -> items.Items.Length > 0
        | TemplateValue.Dict dict -> dict.Keys.Length > 0
        | TemplateValue.Range range -> range.Length > 0
        | TemplateValue.Generator _
        | TemplateValue.Namespace _
        | TemplateValue.Function _ -> true

    /// What a loop over the value walks through; None where Python cannot iterate.
    let tryIterate (run: TemplateRun) (value: TemplateValue) : TemplateValue seq option =
        match value with
        | TemplateValue.Undefined _ -> Some Seq.empty
        | TemplateValue.Text s
        | TemplateValue.Markup s ->
            Some(
                seq {
                    for rune in s.EnumerateRunes() do
                        run.Charge 1L
                        TemplateValue.Text(rune.ToString())
                }
            )
        | TemplateValue.List items
        | TemplateValue.Tuple items
        | TemplateValue.View(_, items) -> Some items.Items
        | TemplateValue.Dict dict -> Some dict.Keys
        | TemplateValue.Range range -> Some(Seq.init range.Length range.Item)
        | TemplateValue.Generator(_, source) ->
            Some(
                seq {
                    // Generators over generators nest: the stack they take is bounded like that of the rest.
                    let advance () =
                        run.Enter()
                        let found = source.MoveNext()
                        run.Leave()
                        found

                    while advance () do
                        source.Current
                }
            )
        | _ -> None

    let iterate (run: TemplateRun) (value: TemplateValue) : TemplateValue seq =
        match tryIterate run value with
        | Some items -> items
        | None -> run.Fail $"'{typeName value}' object is not iterable"

    /// The items of anything that can be iterated.
    let toArray (run: TemplateRun) (value: TemplateValue) : TemplateValue[] =
        let found = ResizeArray()

        for item in iterate run value do
            run.Charge 1L
            found.Add item

        found.ToArray()

    let generator (name: string) (items: TemplateValue seq) : TemplateValue =
        TemplateValue.Generator(name, items.GetEnumerator())

    let integer (run: TemplateRun) (n: BigInteger) : TemplateValue =
        if n.GetBitLength() > TemplateLimit.integerBits then
            run.Fail "an integer is too large"

        TemplateValue.Int n
