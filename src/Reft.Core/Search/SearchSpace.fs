namespace Reft.Core

open System
open System.Globalization

/// <summary>The values that a setting of a search may have.</summary>
[<RequireQualifiedAccess>]
type SearchValues =
    /// One of these, as text.
    | Choices of string list
    /// A number between two, each part of the range equally likely.
    | Uniform of low: float * high: float * points: int option
    /// A positive number between two, each order of magnitude equally likely.
    | LogUniform of low: float * high: float * points: int option

/// <summary>A setting of a search, and what it may be.</summary>
type SearchAxis =
    {
        /// The setting's name.
        Name: string
        /// Its values. A range takes part in a grid with so many points as it says.
        Values: SearchValues
    }

/// <summary>What a search looks through: candidates, each with a value for every axis.</summary>
[<RequireQualifiedAccess>]
module SearchSpace =

    [<Literal>]
    let private MostCandidates = 100_000

    let private number (text: string) =
        match Double.TryParse(text, NumberStyles.Float, CultureInfo.InvariantCulture) with
        | true, value when Double.IsFinite value -> Some value
        | _ -> None

    /// Six digits say all that a learning rate has to.
    let private written (value: float) =
        value.ToString("G6", CultureInfo.InvariantCulture)

    /// <summary>
    /// Reads the values of an axis: <c>1,2,4</c>; parted by semicolons where a value has commas of its own, as <c>all;4,6</c>;
    /// <c>log:1e-4..5e-3</c> or <c>lin:0..0.5</c>, with <c>:5</c> behind it for the number of points in a grid.
    /// </summary>
    /// <param name="separator">What parts values; <c>','</c> or <c>';'</c>.</param>
    /// <param name="name">The setting's name.</param>
    /// <param name="text">The values.</param>
    /// <exception cref="T:System.ArgumentException">The text is none of these, or names a value twice.</exception>
    let parse (separator: char) (name: string) (text: string) : SearchAxis =
        let range make least (body: string) =
            let refuse () =
                invalidArg
                    (nameof text)
                    $"{name}: expected LOW..HIGH or LOW..HIGH:POINTS with LOW < HIGH{least}, found '{body}'"

            let bounds, points =
                match body.Split ':' with
                | [| bounds |] -> bounds, None
                | [| bounds; points |] ->
                    match Int32.TryParse(points, NumberStyles.None, CultureInfo.InvariantCulture) with
                    | true, points when points >= 2 && points <= 1000 -> bounds, Some points
                    | _ ->
                        invalidArg
                            (nameof text)
                            $"{name}: expected 2 … 1000 points of a grid, found '{points}' in '{body}'"
                | _ -> refuse ()

            match bounds.Split "..", least with
            | [| low; high |], least ->
                match number low, number high with
                | Some low, Some high when low < high && (least = "" || low > 0.0) -> make (low, high, points)
                | _ -> refuse ()
            | _ -> refuse ()

        let values =
            if text.StartsWith("log:", StringComparison.Ordinal) then
                range SearchValues.LogUniform ", both positive" (text.Substring 4)
            elif text.StartsWith("lin:", StringComparison.Ordinal) then
                range SearchValues.Uniform "" (text.Substring 4)
            else
                let values = text.Split separator |> Array.map _.Trim() |> Array.toList

                if values |> List.exists ((=) "") then
                    invalidArg (nameof text) $"{name}: expected values parted by '{separator}', found '{text}'"

                if List.distinct values <> values then
                    invalidArg (nameof text) $"{name}: expected each value once, found '{text}'"

                SearchValues.Choices values

        { Name = name; Values = values }

    let private checkNames (axes: SearchAxis list) =
        if axes |> List.distinctBy _.Name |> List.length <> axes.Length then
            let twice = axes |> List.countBy _.Name |> List.find (snd >> (<) 1) |> fst
            invalidArg (nameof axes) $"expected each setting once, found '{twice}' twice"

        for axis in axes do
            match axis.Values with
            | SearchValues.Choices [] ->
                invalidArg (nameof axes) $"{axis.Name}: expected at least one value, found none"
            | _ -> ()

    let private onGrid (axis: SearchAxis) =
        let points (at: float -> float) count =
            [ for i in 0 .. count - 1 -> written (at (float i / float (count - 1))) ]
            |> List.distinct

        match axis.Values with
        | SearchValues.Choices values -> values
        | SearchValues.Uniform(low, high, Some count) -> count |> points (fun t -> low + t * (high - low))
        | SearchValues.LogUniform(low, high, Some count) -> count |> points (fun t -> low * Math.Pow(high / low, t))
        | SearchValues.Uniform(_, _, None)
        | SearchValues.LogUniform(_, _, None) ->
            invalidArg
                "axes"
                $"{axis.Name}: a range in a grid needs a number of points, e.g. log:1e-4..5e-3:4; or draw candidates at random"

    /// <summary>Every combination of values, the last axis changing fastest. A candidate has a value for each axis, in order.</summary>
    /// <exception cref="T:System.ArgumentException">An axis is named twice or has no values, a range says no number of points, or there are too many combinations.</exception>
    let grid (axes: SearchAxis list) : string list list =
        checkNames axes
        let values = axes |> List.map onGrid
        let count = values |> List.fold (fun n v -> n * bigint (List.length v)) 1I

        if count > bigint MostCandidates then
            invalidArg
                (nameof axes)
                $"the grid has {count} combinations, more than {MostCandidates}: draw some of them at random"

        List.foldBack
            (fun options rest ->
                [ for value in options do
                      for others in rest -> value :: others ])
            values
            [ [] ]

    /// A number in [0, 1).
    let private unit (rng: Rng) =
        let struct (bits, _) = Rng.next rng
        float (bits >>> 11) / float (1UL <<< 53)

    let private draw (axis: SearchAxis) (rng: Rng) =
        match axis.Values with
        | SearchValues.Choices values ->
            let struct (index, _) = Rng.below values.Length rng
            values[index]
        | SearchValues.Uniform(low, high, _) -> written (low + unit rng * (high - low))
        | SearchValues.LogUniform(low, high, _) -> written (low * Math.Pow(high / low, unit rng))

    /// <summary>
    /// So many different candidates, drawn at random from a seed; fewer where the space has not so many. More of them begin with
    /// the same ones.
    /// </summary>
    /// <param name="seed">The seed.</param>
    /// <param name="count">How many.</param>
    /// <param name="axes">The space.</param>
    /// <exception cref="T:System.ArgumentException">An axis is named twice or has no values, or the count is out of range.</exception>
    let sample (seed: int64) (count: int) (axes: SearchAxis list) : string list list =
        checkNames axes

        if count < 1 || count > MostCandidates then
            invalidArg (nameof count) $"expected 1 … {MostCandidates} candidates, found {count}"

        let rng = Rng.ofSeed seed

        let candidate number =
            axes
            |> List.mapi (fun i axis -> rng |> Rng.fork number |> Rng.fork i |> draw axis)

        // A small space runs dry: then a long row of draws is all of candidates that are known.
        let rec collect found known number idle =
            if Set.count known = count || idle > 1000 then
                List.rev found
            else
                let drawn = candidate number

                if Set.contains drawn known then
                    collect found known (number + 1) (idle + 1)
                else
                    collect (drawn :: found) (Set.add drawn known) (number + 1) 0

        collect [] Set.empty 0 0
