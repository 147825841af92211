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

    /// <summary><c>pyreft:f3+l2</c>, or <c>pyreft-next:f3+l2</c>.</summary>
    override positions.ToString() =
        let start =
            match positions.Padding with
            | PyreftPadding.Sink -> "pyreft"
            | PyreftPadding.NextToken -> "pyreft-next"

        $"{start}:f{positions.First}:l{positions.Last}"

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

    /// Its groups when prefix and suffix are untied: true for a prefix.
    let internal parts (positions: PyreftPositions) =
        if positions.First > 0 && positions.Last > 0 then
            [ true; false ]
        elif positions.Last > 0 then
            [ false ]
        else
            [ true ]

    /// <summary>
    /// The tokens of each group for a prompt of <paramref name="count"/> tokens: ⌊n/2⌋ at most on either side, and, with
    /// <see cref="F:Reft.Core.PyreftPadding.NextToken"/>, token n once for each slot that is left over.
    /// </summary>
    /// <param name="tied">Whether prefix and suffix are one group.</param>
    /// <param name="count">The prompt's tokens.</param>
    /// <param name="positions">Which positions.</param>
    let tokens (tied: bool) (count: int) (positions: PyreftPositions) : int list list =
        let first, last = min (count / 2) positions.First, min (count / 2) positions.Last
        let prefix, suffix = [ 0 .. first - 1 ], [ count - last .. count - 1 ]

        let pad slots tokens =
            match positions.Padding with
            | PyreftPadding.Sink -> tokens
            | PyreftPadding.NextToken -> tokens @ List.replicate (slots - List.length tokens) count

        // pyreft itself decides by the slots that are left, not by those asked for.
        if tied || first = 0 || last = 0 then
            [ pad (positions.First + positions.Last) (prefix @ suffix) ]
        else
            let slots = max positions.First positions.Last
            [ pad slots prefix; pad slots suffix ]
