namespace Reft.Core

open System

/// <summary>When an intervention acts. Training and generation agree: what follows the prompt is Decode under teacher forcing too.</summary>
[<RequireQualifiedAccess>]
type Phase =
    /// On the tokens of the prompt: in a generation it runs once, in prefill, and costs nothing per decoded token.
    | Prompt
    /// On the tokens after the prompt.
    | Decode
    /// On tokens <c>start</c> … <c>start + count − 1</c> after the prompt: a window of decode steps.
    | DecodeSteps of start: int * count: int
    /// On all tokens.
    | Always

/// <summary>⟨Φ, P, l⟩: an intervention, the positions it edits, and the site where it does so.</summary>
[<NoEquality; NoComparison>]
type Placement =
    {
        /// Where in the model.
        Site: Site
        /// Which tokens.
        Where: Positions
        /// In which phase; positions count within it.
        When: Phase
        /// The edit.
        What: Intervention
        /// Who shares parameters.
        Tie: Tying
        /// A name under which several placements share parameters; they must have the same intervention and tying.
        Share: string option
        /// What becomes of positions that a short prompt has not.
        ShortPrompt: ShortPrompt
    }

/// <summary>Interventions and their places: what is attached to a model, trained and saved.</summary>
type ReftSpec = Placement list

/// <summary>Building and checking specs.</summary>
[<RequireQualifiedAccess>]
module ReftSpec =

    /// <summary>An intervention at several sites, each with its own parameters; prefix and suffix groups apart.</summary>
    let place (sites: Site list) (where: Positions) (what: Intervention) : ReftSpec =
        [ for site in sites ->
              { Site = site
                Where = Positions.validate where
                When = Phase.Prompt
                What = what
                Tie = Tying.Groups
                Share = None
                ShortPrompt = ShortPrompt.Paper } ]

    /// <summary>All positions of a placement share one set of parameters.</summary>
    let tied (spec: ReftSpec) : ReftSpec =
        spec |> List.map (fun p -> { p with Tie = Tying.Tied })

    /// <summary>Who shares parameters, for every placement.</summary>
    let withTying (tying: Tying) (spec: ReftSpec) : ReftSpec =
        spec |> List.map (fun p -> { p with Tie = tying })

    /// <summary>All placements share parameters, under a name.</summary>
    let sharedAs (name: string) (spec: ReftSpec) : ReftSpec =
        spec |> List.map (fun p -> { p with Share = Some name })

    /// <summary>The phase in which every placement acts.</summary>
    let during (phase: Phase) (spec: ReftSpec) : ReftSpec =
        spec |> List.map (fun p -> { p with When = phase })

    /// <summary>What becomes of positions that a short prompt has not.</summary>
    let withShortPrompt (rule: ShortPrompt) (spec: ReftSpec) : ReftSpec =
        spec |> List.map (fun p -> { p with ShortPrompt = rule })

    /// <summary>Every change times a number: −1 negates what was trained, 0 switches it off. Parameters keep their names.</summary>
    let scale (factor: float) (spec: ReftSpec) : ReftSpec =
        if factor = 1.0 then
            spec
        else
            spec |> List.map (fun p -> { p with What = factor * p.What })

    let private disjointHeads (a: Site) (b: Site) =
        match a.Heads, b.Heads with
        | Some x, Some y -> x.First + x.Count <= y.First || y.First + y.Count <= x.First
        | _ -> false

    /// <summary>Whether two placements can edit the same numbers.</summary>
    let internal share (a: Placement) (b: Placement) =
        a.Site.Layer = b.Site.Layer
        && a.Site.Component = b.Site.Component
        && not (disjointHeads a.Site b.Site)

    /// The rule for short prompts says nothing about tokens that are still being generated.
    let internal rule (placement: Placement) =
        if placement.When = Phase.Prompt then
            Some placement.ShortPrompt
        else
            None

    let rec private partsOf positions =
        match positions with
        | Positions.Union parts -> List.collect partsOf parts
        | single -> [ single ]

    /// Longer prompts say nothing new, and the largest numbers that positions may have would make lists too long.
    [<Literal>]
    let private LongestProbe = 65_536

    /// Two lengths of a prompt so long that no rule for short ones applies and every number in the spec falls inside it.
    /// What meets in both is certain to meet: at the first no step of an `every` falls among the last tokens, at the
    /// second none among the first tokens after the prompt, unless it is bound to.
    let private probes (placements: Placement list) =
        let parts = placements |> List.collect (fun p -> partsOf p.Where)

        let reach =
            parts
            |> List.sumBy (function
                | Positions.First n
                | Positions.Last n -> int64 n
                | Positions.Span(start, n) -> int64 start + int64 n
                | Positions.Explicit indices -> int64 (List.max indices) + 1L
                | _ -> 0L)

        let steps =
            placements
            |> List.sumBy (fun p ->
                match p.When with
                | Phase.DecodeSteps(start, count) -> int64 start + int64 count
                | _ -> 0L)

        let rec divisor (a: int64) b = if b = 0L then a else divisor b (a % b)

        let common =
            parts
            |> List.choose (function
                | Positions.Every step -> Some(int64 step)
                | _ -> None)
            |> List.fold (fun total step -> min (int64 LongestProbe) (total / divisor total step * step)) 1L

        let least = min (int64 LongestProbe) (max 256L (2L * (reach + steps)))
        let length = int ((least + common - 1L) / common * common)
        [ length; length + 1 ]

    let private tokens length placement =
        let start, count =
            match placement.When with
            | Phase.Prompt -> 0, length
            | Phase.Decode -> length, length
            | Phase.DecodeSteps(start, count) -> length + start, min count length
            | Phase.Always -> 0, 2 * length

        // What a function of the row chooses is known when a batch comes.
        placement.Where
        |> Positions.resolveWith (fun _ -> []) (rule placement) placement.Tie count
        |> List.map (fun struct (_, token) -> start + token)

    let private refuseOverlap where (placements: Placement list) =
        let meeting length =
            placements
            |> List.collect (tokens length)
            |> List.countBy id
            |> List.tryFind (fun (_, times) -> times > 1)

        match probes placements |> List.map meeting with
        | [ Some(token, _); Some _ ] ->
            invalidArg
                "spec"
                $"{where} would edit token {token} of a long prompt twice; within one spec edits must not overlap. Make the positions disjoint, add the interventions with +, or attach them one after another."
        | _ -> ()

    /// <summary>Refuses a spec that cannot act on a model, naming the placement and what would do.</summary>
    /// <exception cref="T:System.ArgumentException">
    /// A layer or head that the model has not; <c>last</c> outside the prompt; positions without a fixed number that are
    /// each to have parameters; placements that are certain to overlap; unequal placements that share a name.
    /// </exception>
    let validate (config: ModelConfig) (spec: ReftSpec) : unit =
        let rec hasLast positions =
            match positions with
            | Positions.Last _ -> true
            | Positions.Union parts -> List.exists hasLast parts
            | _ -> false

        for placement in spec do
            config.Width placement.Site |> ignore
            Positions.validate placement.Where |> ignore
            Positions.groups placement.Tie placement.Where |> ignore

            match placement.When with
            | Phase.DecodeSteps(start, count) when start < 0 || count < 1 || start > 1_000_000 || count > 1_000_000 ->
                invalidArg
                    (nameof spec)
                    $"{placement.Site}: expected a window of decode steps that starts at 0 … 1000000 and has 1 … 1000000 steps, found start {start} and count {count}"
            | _ -> ()

            if placement.When <> Phase.Prompt && placement.Where.IsPyreft then
                invalidArg
                    (nameof spec)
                    $"{placement.Site}: pyreft's positions are those of the prompt: expected the phase Prompt, found {placement.When}"

            if placement.When <> Phase.Prompt && hasLast placement.Where then
                invalidArg
                    (nameof spec)
                    $"{placement.Site}: the last tokens are known only in the prompt; expected first, every, all or explicit positions in the phase {placement.When}, found '{placement.Where}'"

            if not placement.Where.IsPyreft then
                refuseOverlap (string placement.Site) [ placement ]

        let indexed = List.indexed spec

        for i, a in indexed do
            for j, b in indexed do
                if i < j && share a b then
                    refuseOverlap $"Placements {i + 1} and {j + 1}, both at {a.Site}," [ a; b ]

        for name, members in spec |> List.filter (fun p -> p.Share.IsSome) |> List.groupBy (fun p -> p.Share) do
            let different =
                members
                |> List.distinctBy (fun p -> p.What.Form, config.Width p.Site, Positions.groups p.Tie p.Where)

            if different.Length > 1 then
                invalidArg
                    (nameof spec)
                    $"placements that share parameters as '{Option.get name}' must have the same intervention, width and tying; found {different[0].What.Form} at {different[0].Site} and {different[1].What.Form} at {different[1].Site}"

    /// <summary>
    /// For each placement the names of its parameter sets, one per group; several placements may have the same.
    /// </summary>
    let internal parameterNames (spec: ReftSpec) : string list list =
        let seen = Collections.Generic.Dictionary<string, int>()

        spec
        |> List.map (fun placement ->
            let owner =
                match placement.Share with
                | Some name -> $"shared.{name}"
                | None ->
                    let site = string placement.Site

                    match seen.TryGetValue site with
                    | true, times ->
                        seen[site] <- times + 1
                        $"{site}#{times}"
                    | _ ->
                        seen[site] <- 1
                        site

            Positions.groups placement.Tie placement.Where
            |> List.map (fun group -> if group = "" then owner else $"{owner}.{group}"))
