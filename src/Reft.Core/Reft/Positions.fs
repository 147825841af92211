namespace Reft.Core

/// <summary>Which tokens of a row an intervention edits, counted within its phase (usually: within the prompt).</summary>
[<RequireQualifiedAccess>]
type Positions =
    /// The first n tokens.
    | First of count: int
    /// The last n tokens of the prompt.
    | Last of count: int
    /// Tokens start … start + count − 1.
    | Span of start: int * count: int
    /// Tokens 0, step, 2·step, …
    | Every of step: int
    /// Every token.
    | All
    /// These tokens, counted from 0.
    | Explicit of int list
    /// The tokens that a function of the row chooses.
    | Function of PositionFunction
    /// Exactly the tokens that pyreft edits, for reproducing its runs; not in unions.
    | Pyreft of PyreftPositions
    /// All tokens of the parts.
    | Union of Positions list

    /// <summary>The union of two position sets.</summary>
    static member (+)(a: Positions, b: Positions) : Positions =
        let parts positions =
            match positions with
            | Union parts -> parts
            | single -> [ single ]

        Union(parts a @ parts b)

    /// <summary><c>f7+l7</c>, as pyreft users write it, where that notation reaches; <c>every2</c>, <c>all</c>, … elsewhere.</summary>
    override positions.ToString() =
        match positions with
        | First n -> $"f{n}"
        | Last n -> $"l{n}"
        | Span(start, count) -> $"span{start}:{count}"
        | Every step -> $"every{step}"
        | All -> "all"
        | Explicit indices -> indices |> List.map string |> String.concat "," |> sprintf "at%s"
        | Function chosen -> $"fn:{chosen.Name}"
        | Pyreft chosen -> string chosen
        | Union parts -> parts |> List.map string |> String.concat "+"

/// <summary>What becomes of <c>first p + last s</c> in a prompt of n tokens when they would overlap.</summary>
[<RequireQualifiedAccess>]
type ShortPrompt =
    /// Only if n &lt; p + s: p ← min(p, ⌊n/2⌋), s ← min(s, ⌈n/2⌉) (arXiv 2404.03592, section 4). Every token is edited.
    | Paper
    /// Always: p ← min(p, ⌊n/2⌋), s ← min(s, ⌊n/2⌋), as pyreft does.
    | Pyreft

/// <summary>Who shares parameters within one placement.</summary>
[<RequireQualifiedAccess>]
type Tying =
    /// All positions share one set.
    | Tied
    /// Each part of a union has its own: a prefix set and a suffix set (pyreft's untied).
    | Groups
    /// Each position has its own (the paper's untied); for positions whose number is known.
    | EachPosition

/// <summary>Resolving positions to tokens.</summary>
[<RequireQualifiedAccess>]
module Positions =

    /// More sets of parameters than a placement can mean.
    [<Literal>]
    let private LargestEachPosition = 4096L

    let private parts positions =
        match positions with
        | Positions.Union parts -> parts
        | single -> [ single ]

    /// <summary>Refuses counts that mean nothing.</summary>
    /// <exception cref="T:System.ArgumentException">A count or step is not positive, an index negative, a union empty.</exception>
    let validate (positions: Positions) : Positions =
        // No context is as long, and sums of such numbers stay far from the largest integer.
        let largest = 1_000_000

        let positive what n =
            if n < 1 || n > largest then
                invalidArg
                    (nameof positions)
                    $"expected a {what} of 1 … {largest} in the positions '{positions}', found {n}"

        if parts positions = [] then
            invalidArg (nameof positions) "expected at least one position, found an empty union"

        for part in parts positions do
            match part with
            | Positions.First n
            | Positions.Last n -> positive "count" n
            | Positions.Every step -> positive "step" step
            | Positions.Span(start, count) ->
                positive "count" count

                if start < 0 || start > largest then
                    invalidArg (nameof positions) $"expected a start of 0 … {largest} in '{positions}', found {start}"
            | Positions.Explicit indices ->
                if indices = [] || indices |> List.exists (fun i -> i < 0 || i > largest) then
                    invalidArg (nameof positions) $"expected indices of 0 … {largest} in '{positions}'"

                if List.distinct indices <> indices then
                    invalidArg (nameof positions) $"expected every index once in '{positions}'"
            | Positions.Pyreft _ when parts positions |> List.length > 1 ->
                invalidArg
                    (nameof positions)
                    $"pyreft's positions are whole by themselves and cannot be united with others: found '{positions}'"
            | Positions.Pyreft chosen ->
                if chosen.First <> 0 || chosen.Last = 0 then
                    positive "count" chosen.First

                if chosen.Last <> 0 then
                    positive "count" chosen.Last
            | Positions.All
            | Positions.Function _
            | Positions.Union _ -> ()

        positions

    /// <summary>
    /// Reads what <c>ToString</c> prints: pyreft's <c>f7+l7</c>, <c>f3</c>, <c>l1</c>, and <c>all</c>, <c>every2</c>,
    /// <c>span3:5</c> (five tokens from token 3), <c>at0,4,9</c>, <c>fn:NAME</c>, joined by <c>+</c> in any order.
    /// </summary>
    /// <param name="named">The functions of positions that the text may name.</param>
    /// <param name="text">What to read.</param>
    /// <exception cref="T:System.ArgumentException">The text is none of these, or names a function that is not known.</exception>
    let parseWith (named: string -> PositionFunction) (text: string) : Positions =
        let refuse () =
            invalidArg
                (nameof text)
                $"'{text}' is no position: expected fN (the first N tokens of the prompt), lN (the last N), spanS:N, everyN, atI,J,…, fn:NAME or all, joined by +, or pyreft:fN:lM or pyreft-next:fN:lM alone"

        let number (digits: string) =
            match
                System.Int32.TryParse(
                    digits,
                    System.Globalization.NumberStyles.None,
                    System.Globalization.CultureInfo.InvariantCulture
                )
            with
            | true, n -> n
            | _ -> refuse ()

        let part (word: string) =
            let after (start: string) =
                if word.StartsWith(start, System.StringComparison.Ordinal) then
                    Some(word.Substring start.Length)
                else
                    None

            match word, after "every", after "span", after "at", after "f", after "l" with
            | "all", _, _, _, _, _ -> Positions.All
            | _ when (after "fn:").IsSome -> Positions.Function(named (word.Substring 3))
            | _ when (after PyreftPositions.Prefix).IsSome ->
                match PyreftPositions.tryParse word with
                | Some chosen -> Positions.Pyreft chosen
                | None -> refuse ()
            | _, Some step, _, _, _, _ -> Positions.Every(number step)
            | _, _, Some span, _, _, _ ->
                match span.Split ':' with
                | [| start; count |] -> Positions.Span(number start, number count)
                | _ -> refuse ()
            | _, _, _, Some indices, _, _ -> indices.Split ',' |> Array.map number |> Array.toList |> Positions.Explicit
            | _, _, _, _, Some count, _ -> Positions.First(number count)
            | _, _, _, _, _, Some count -> Positions.Last(number count)
            | _ -> refuse ()

        match text.Split '+' |> Array.map (fun word -> part (word.Trim())) |> Array.toList with
        | [ single ] -> single
        | several -> Positions.Union several
        |> validate

    /// <summary>Reads what <c>ToString</c> prints, without functions of the row; see <see cref="M:Reft.Core.PositionsModule.parseWith"/>.</summary>
    /// <exception cref="T:System.ArgumentException">The text is no position.</exception>
    let parse (text: string) : Positions =
        text
        |> parseWith (fun name ->
            invalidArg (nameof text) $"'fn:{name}' names a function of positions, which must be registered to be read")

    /// <summary>
    /// What pyreft's <c>get_intervention_locations</c> returns: for data and programs that are made of its lists. To train
    /// on the same tokens, use <see cref="T:Reft.Core.PyreftPositions"/> as positions.
    /// </summary>
    /// <exception cref="T:System.ArgumentException">A number is negative.</exception>
    let pyreft (options: PyreftLocations) : int list list = PyreftPositions.locations options

    /// <summary>
    /// The names of the parameter sets that a placement of these positions has; one empty name when all share one set.
    /// </summary>
    /// <exception cref="T:System.ArgumentException">Each position is to have its own set and their number is unknown.</exception>
    let groups (tying: Tying) (positions: Positions) : string list =
        let parts = parts positions

        let named =
            parts
            |> List.mapi (fun i part ->
                match part with
                | Positions.First _ -> "prefix", part
                | Positions.Last _ -> "suffix", part
                | _ -> $"part{i}", part)

        match tying, positions with
        | Tying.Tied, _ -> [ "" ]
        | Tying.Groups, Positions.Pyreft chosen when PyreftPositions.hasBoth chosen -> [ "prefix"; "suffix" ]
        | Tying.Groups, _ when parts.Length = 1 -> [ "" ]
        | Tying.Groups, _ -> named |> List.map fst
        | Tying.EachPosition, Positions.Pyreft _ ->
            invalidArg
                (nameof positions)
                "pyreft knows parameters tied, or one set for the prefix and one for the suffix: expected the tying Tied or Groups"
        | Tying.EachPosition, _ ->
            let slots =
                parts
                |> List.sumBy (function
                    | Positions.First n
                    | Positions.Last n
                    | Positions.Span(_, n) -> int64 n
                    | _ -> 0L)

            if slots > LargestEachPosition then
                invalidArg
                    (nameof positions)
                    $"each position has its own parameters: expected at most {LargestEachPosition} positions, found '{positions}'"

            named
            |> List.collect (fun (name, part) ->
                match part with
                | Positions.First n
                | Positions.Last n
                | Positions.Span(_, n) -> [ for slot in 0 .. n - 1 -> $"{name}.{slot}" ]
                | Positions.Explicit indices -> [ for slot in 0 .. indices.Length - 1 -> $"{name}.{slot}" ]
                | _ ->
                    invalidArg
                        (nameof positions)
                        $"each position can have its own parameters only where their number is known: '{part}' has no fixed number")

    /// <summary>
    /// The tokens of a row: pairs of a group (an index into <see cref="M:Reft.Core.PositionsModule.groups"/>) and a token
    /// in [0, <paramref name="count"/>), without duplicates within a part.
    /// </summary>
    /// <param name="choose">The tokens of the phase that a function of the row chooses.</param>
    /// <param name="rule">
    /// What to do with short prompts; <c>None</c> outside the prompt, where tokens are edited as they come and a short
    /// phase merely has not come far.
    /// </param>
    /// <param name="tying">Who shares parameters.</param>
    /// <param name="count">The tokens of the phase, e.g. the length of the prompt.</param>
    /// <param name="positions">Which of them.</param>
    let resolveWith
        (choose: PositionFunction -> int list)
        (rule: ShortPrompt option)
        (tying: Tying)
        (count: int)
        (positions: Positions)
        : struct (int * int) list =
        let parts = parts positions

        let total choose = parts |> List.sumBy choose

        let prefix =
            total (function
                | Positions.First n -> n
                | _ -> 0)

        let suffix =
            total (function
                | Positions.Last n -> n
                | _ -> 0)

        let prefixLimit, suffixLimit =
            match rule with
            | Some ShortPrompt.Pyreft -> count / 2, count / 2
            | Some ShortPrompt.Paper when count < prefix + suffix -> count / 2, (count + 1) / 2
            | Some ShortPrompt.Paper
            | None -> min prefix count, min suffix count

        // Slots count from the start, those of a suffix from the end: slot 0 of a suffix is the last token.
        let tokens part =
            match part with
            | Positions.First n -> [ 0 .. min n prefixLimit - 1 ]
            | Positions.Last n -> [ for slot in 0 .. min n suffixLimit - 1 -> count - 1 - slot ]
            | Positions.Span(start, n) -> [ start .. min (start + n) count - 1 ]
            | Positions.Every step -> [ 0..step .. count - 1 ]
            | Positions.All -> [ 0 .. count - 1 ]
            | Positions.Explicit indices -> indices |> List.distinct |> List.filter (fun i -> i < count)
            | Positions.Function chosen -> choose chosen |> List.distinct |> List.filter (fun i -> i >= 0 && i < count)
            | Positions.Pyreft _
            | Positions.Union _ -> []

        let inGroups (tokens: int list list) =
            tokens
            |> List.mapi (fun group tokens -> tokens |> List.map (fun token -> struct (group, token)))
            |> List.concat

        match tying, positions with
        | _, Positions.Pyreft chosen -> PyreftPositions.tokens (tying = Tying.Tied) count chosen |> inGroups
        | Tying.Tied, _ ->
            parts
            |> List.collect tokens
            |> List.distinct
            |> List.map (fun token -> struct (0, token))
        | Tying.Groups, _ -> parts |> List.map tokens |> inGroups
        | Tying.EachPosition, _ ->
            let slots part =
                match part with
                | Positions.First n
                | Positions.Last n
                | Positions.Span(_, n) -> n
                | Positions.Explicit indices -> indices.Length
                | _ -> 0

            let starts = parts |> List.scan (fun start part -> start + slots part) 0

            List.zip parts (List.take parts.Length starts)
            |> List.collect (fun (part, start) ->
                // A slot is numbered before short prompts lose some: a position keeps its parameters in every row.
                match part with
                | Positions.Explicit indices ->
                    indices
                    |> List.mapi (fun slot token -> struct (start + slot, token))
                    |> List.filter (fun struct (_, token) -> token < count)
                | _ -> tokens part |> List.mapi (fun slot token -> struct (start + slot, token)))

    /// <summary>
    /// <see cref="M:Reft.Core.PositionsModule.resolveWith"/> for positions that depend on the number of tokens alone.
    /// </summary>
    /// <exception cref="T:System.ArgumentException">They are a function of the row.</exception>
    let resolve
        (rule: ShortPrompt option)
        (tying: Tying)
        (count: int)
        (positions: Positions)
        : struct (int * int) list =
        positions
        |> resolveWith
            (fun chosen ->
                invalidArg
                    (nameof positions)
                    $"'fn:{chosen.Name}' depends on the row's tokens, which are not given here: expected positions that a number of tokens determines")
            rule
            tying
            count
