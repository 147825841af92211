namespace Reft.Core

open System

/// <summary>What a function of positions sees: one row's tokens so far, without padding.</summary>
[<NoEquality; NoComparison>]
type RowTokens =
    {
        /// Token ids. Under the phase Prompt the prompt alone; else all tokens up to the one in question.
        Ids: int[]
        /// How many of them are the prompt.
        Prompt: int
    }

/// <summary>
/// Positions as a function of the row, e.g. "the token after the second newline". It is known by its name, by which it is
/// saved and reloaded: two functions of one name are the same.
/// </summary>
[<CustomEquality; NoComparison>]
type PositionFunction =
    {
        /// Lower-case letters, digits and dashes.
        Name: string
        /// A row → the tokens it chooses, as indices into the row.
        Choose: RowTokens -> int list
    }

    override f.Equals(other: obj) =
        match other with
        | :? PositionFunction as other -> f.Name = other.Name
        | _ -> false

    override f.GetHashCode() =
        f.Name.GetHashCode StringComparison.Ordinal

/// <summary>Making functions of positions.</summary>
[<RequireQualifiedAccess>]
module PositionFunction =

    /// <summary>
    /// Positions as a function of the row. Under the phases that reach beyond the prompt it is asked at each token about
    /// the tokens so far, so that decoding step by step agrees with one pass over the whole row.
    /// </summary>
    /// <exception cref="T:System.ArgumentException">The name is empty or has other characters than a-z, 0-9 and -.</exception>
    let create (name: string) (choose: RowTokens -> int list) : PositionFunction =
        let allowed c =
            (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c = '-'

        if name = "" || not (Seq.forall allowed name) then
            invalidArg
                (nameof name)
                $"'{name}' is no name for a function of positions: expected lower-case letters, digits and dashes"

        { Name = name; Choose = choose }

    /// <summary>The token after the <paramref name="occurrence"/>-th (from 1) occurrence of a token, if there is one.</summary>
    let afterToken (name: string) (id: int) (occurrence: int) : PositionFunction =
        if occurrence < 1 then
            invalidArg (nameof occurrence) $"expected an occurrence of 1 or more, found {occurrence}"

        create name (fun row ->
            row.Ids
            |> Seq.indexed
            |> Seq.filter (snd >> (=) id)
            |> Seq.tryItem (occurrence - 1)
            |> Option.map (fun (token, _) -> token + 1)
            |> Option.filter (fun token -> token < row.Ids.Length)
            |> Option.toList)
