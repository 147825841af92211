namespace Reft.Core

open System.Globalization

/// <summary>What pyreft does with the slots that a short prompt leaves over.</summary>
[<RequireQualifiedAccess>]
type PyreftPadding =
    /// They point at a token that is added for the purpose and that nothing attends to: they do nothing.
    | Sink
    /// They point at the first token after the prompt, which is edited in training, once per slot in the gradient.
    | NextToken

/// <summary>pyreft's <c>get_intervention_locations</c>, as data.</summary>
type PyreftPositions =
    {
        /// Prefix slots.
        First: int
        /// Suffix slots.
        Last: int
        /// What becomes of slots that are left over.
        Padding: PyreftPadding
    }

    /// <summary><c>pyreft:f3:l2</c>, or <c>pyreft-next:f3:l2</c>.</summary>
    override positions.ToString() =
        let start =
            match positions.Padding with
            | PyreftPadding.Sink -> "pyreft"
            | PyreftPadding.NextToken -> "pyreft-next"

        $"{start}:f{positions.First}:l{positions.Last}"

/// <summary>pyreft's <c>pad_mode</c>: where slots point that a short prompt leaves over.</summary>
[<RequireQualifiedAccess>]
type PyreftPadMode =
    /// To −1, which becomes a token put before the prompt for the purpose.
    | First
    /// To the first position after the prompt.
    | Last

/// <summary>The arguments of pyreft's <c>get_intervention_locations</c>.</summary>
type PyreftLocations =
    {
        /// The prompt's number of tokens: the position after its last.
        LastPosition: int
        /// Prefix slots (<c>first_n</c>).
        First: int
        /// Suffix slots (<c>last_n</c>).
        Last: int
        /// All interventions, those of the suffix included.
        NumInterventions: int
        /// Whether prefix and suffix share interventions.
        ShareWeights: bool
        /// Where left-over slots point.
        PadMode: PyreftPadMode
    }

/// <summary>The tokens that pyreft edits.</summary>
[<RequireQualifiedAccess>]
module PyreftPositions =

    /// The beginning of their notation.
    [<Literal>]
    let internal Prefix = "pyreft"

    /// <summary>Reads what <c>ToString</c> prints.</summary>
    let tryParse (text: string) : PyreftPositions option =
        let count (start: char) (word: string) =
            match
                word.StartsWith start,
                System.Int32.TryParse(word.Substring 1, NumberStyles.None, CultureInfo.InvariantCulture)
            with
            | true, (true, n) when n <= 1_000_000 -> Some n
            | _ -> None

        match text.Split ':' with
        | [| name; first; last |] when first <> "" && last <> "" ->
            let padding =
                match name with
                | "pyreft" -> Some PyreftPadding.Sink
                | "pyreft-next" -> Some PyreftPadding.NextToken
                | _ -> None

            match padding, count 'f' first, count 'l' last with
            | Some padding, Some first, Some last ->
                Some
                    { First = first
                      Last = last
                      Padding = padding }
            | _ -> None
        | _ -> None

    /// Whether there are two groups where prefix and suffix are untied.
    let internal hasBoth (positions: PyreftPositions) =
        positions.First > 0 && positions.Last > 0

    /// One list of slots for all interventions, or one of the prefix and one of the suffix: the heart of pyreft's function.
    let private slots (shared: bool) (padding: int) (count: int) (first: int) (last: int) : int list list =
        let prefix = [ 0 .. min (count / 2) first - 1 ]
        let suffix = [ count - min (count / 2) last .. count - 1 ]

        let pad length tokens =
            tokens @ List.replicate (length - List.length tokens) padding

        // pyreft decides by the slots that are left, not by those asked for.
        if shared || prefix.IsEmpty || suffix.IsEmpty then
            [ pad (first + last) (prefix @ suffix) ]
        else
            [ pad (max first last) prefix; pad (max first last) suffix ]

    /// <summary>
    /// The tokens of each group for a prompt of <paramref name="count"/> tokens: ⌊n/2⌋ at most on either side, and, with
    /// <see cref="F:Reft.Core.PyreftPadding.NextToken"/>, token n once for each slot that is left over. Where a side has
    /// no slot left, pyreft gives both groups the same tokens.
    /// </summary>
    /// <param name="tied">Whether prefix and suffix are one group.</param>
    /// <param name="count">The prompt's tokens.</param>
    /// <param name="positions">Which positions.</param>
    let tokens (tied: bool) (count: int) (positions: PyreftPositions) : int list list =
        let padding =
            match positions.Padding with
            | PyreftPadding.Sink -> -1
            | PyreftPadding.NextToken -> count

        match slots tied padding count positions.First positions.Last with
        | [ shared ] when not tied && hasBoth positions -> [ shared; shared ]
        | groups -> groups
        |> List.map (List.filter (fun token -> token >= 0))

    /// <summary>
    /// What pyreft's <c>get_intervention_locations</c> returns, its quirks included: a list of positions for each
    /// intervention.
    /// </summary>
    /// <remarks>
    /// ⌊n/2⌋ tokens at most on either side, also where there is only one side, so that the middle token of a short odd
    /// prompt is never edited; one intervention that is not shared gets no list at all, and an odd number of them one list
    /// fewer; where a side has no slot left, all interventions get the same list.
    /// </remarks>
    /// <exception cref="T:System.ArgumentException">A number is negative.</exception>
    let locations (options: PyreftLocations) : int list list =
        for name, number in
            [ nameof options.LastPosition, options.LastPosition
              nameof options.First, options.First
              nameof options.Last, options.Last
              nameof options.NumInterventions, options.NumInterventions ] do
            if number < 0 || number > 1_000_000 then
                invalidArg (nameof options) $"expected {name} of 0 … 1000000, found {number}"

        let padding =
            match options.PadMode with
            | PyreftPadMode.First -> -1
            | PyreftPadMode.Last -> options.LastPosition

        match slots options.ShareWeights padding options.LastPosition options.First options.Last with
        | [ prefix; suffix ] ->
            let half = options.NumInterventions / 2
            List.replicate half prefix @ List.replicate half suffix
        | groups -> groups |> List.collect (List.replicate options.NumInterventions)

    /// <summary>
    /// What pyreft's <c>parse_positions</c> reads from <c>f3+l2</c>: (3, 2). As there, a text with neither letter is
    /// (0, 0), whatever stands after a second + is ignored, and the suffix cannot stand first.
    /// </summary>
    /// <exception cref="T:System.ArgumentException">A number is none, or negative: pyreft has a ValueError for the former.</exception>
    let parsePositions (text: string) : struct (int * int) =
        let number (letter: char) (word: string) =
            match
                System.Int32.TryParse(
                    word.Trim(letter).Trim(),
                    NumberStyles.AllowLeadingSign,
                    CultureInfo.InvariantCulture
                )
            with
            | true, n when n >= 0 -> n
            | _ ->
                invalidArg
                    (nameof text)
                    $"'{text}' is no position of pyreft's: expected fN, lN or fN+lM in this order, found '{word}' where {letter}N was expected"

        match text.Split '+' with
        | [| single |] when single.Contains 'f' -> struct (number 'f' single, 0)
        | [| single |] when single.Contains 'l' -> struct (0, number 'l' single)
        | [| _ |] -> struct (0, 0)
        | words -> struct (number 'f' words[0], number 'l' words[1])
