namespace Reft.Core

open System
open System.Collections.Generic
open System.Globalization
open System.Text
open System.Text.RegularExpressions

/// <summary>
/// The regular expressions of tokenizer.json. They are written for Oniguruma, which sees code points; .NET sees UTF-16
/// units and differs in details. The common subset is accepted and given Oniguruma's meaning, the rest is refused by name.
/// </summary>
/// <remarks>
/// .NET has no category for a character beyond U+FFFF, so for matching each one is replaced by a stand-in of the same
/// category from the basic plane. That is exact as long as a pattern names no such character: patterns that do are refused.
/// </remarks>
[<RequireQualifiedAccess>]
module internal Oniguruma =

    /// One character per category, from scripts that no tokenizer's pattern names.
    let private standIns: (UnicodeCategory * char) list =
        [ UnicodeCategory.UppercaseLetter, '\uA640'
          UnicodeCategory.LowercaseLetter, '\uA641'
          UnicodeCategory.TitlecaseLetter, '\u1F88'
          UnicodeCategory.ModifierLetter, '\uA717'
          UnicodeCategory.OtherLetter, '\uA000'
          UnicodeCategory.NonSpacingMark, '\uA66F'
          UnicodeCategory.SpacingCombiningMark, '\uA823'
          UnicodeCategory.EnclosingMark, '\uA670'
          UnicodeCategory.DecimalDigitNumber, '\uA8D0'
          UnicodeCategory.LetterNumber, '\uA6E6'
          UnicodeCategory.OtherNumber, '\uA830'
          UnicodeCategory.ConnectorPunctuation, '\uFE33'
          UnicodeCategory.DashPunctuation, '\uFE58'
          UnicodeCategory.OpenPunctuation, '\uFE59'
          UnicodeCategory.ClosePunctuation, '\uFE5A'
          UnicodeCategory.InitialQuotePunctuation, '\u2E02'
          UnicodeCategory.FinalQuotePunctuation, '\u2E03'
          UnicodeCategory.OtherPunctuation, '\uA874'
          UnicodeCategory.MathSymbol, '\u2A00'
          UnicodeCategory.CurrencySymbol, '\uA838'
          UnicodeCategory.ModifierSymbol, '\uA716'
          UnicodeCategory.OtherSymbol, '\uA828'
          UnicodeCategory.Format, '\uFFF9'
          UnicodeCategory.PrivateUse, '\uE000'
          UnicodeCategory.OtherNotAssigned, '\uFDD0' ]

    let private standInOf = standIns |> dict

    /// The character whose properties a code point beyond U+FFFF borrows.
    let standIn (rune: Rune) : char = standInOf[Rune.GetUnicodeCategory rune]

    let private categories =
        set
            [ "L"
              "Lu"
              "Ll"
              "Lt"
              "Lm"
              "Lo"
              "M"
              "Mn"
              "Mc"
              "Me"
              "N"
              "Nd"
              "Nl"
              "No"
              "P"
              "Pc"
              "Pd"
              "Ps"
              "Pe"
              "Pi"
              "Pf"
              "Po"
              "S"
              "Sm"
              "Sc"
              "Sk"
              "So"
              "Z"
              "Zs"
              "Zl"
              "Zp"
              "C"
              "Cc"
              "Cf"
              "Co" ]

    let private category = Regex(@"\G\{(\w{1,2})\}", RegexOptions.CultureInvariant)

    let private counted =
        Regex(@"\G\{\d{1,4}(,\d{0,4})?\}", RegexOptions.CultureInvariant)

    let private groupStart =
        Regex(@"\G\((\?(i:|:|=|!|<=|<!|>))?", RegexOptions.CultureInvariant)

    /// What one escape stands for: its .NET spelling, its length, and the character if it is a single one.
    let private escape refuse (pattern: string) i (ignoreCase: bool) : struct (string * int * char voption) =
        if i + 1 >= pattern.Length then
            raise (refuse "ends in a lone '\\'")

        match pattern[i + 1] with
        | 'p'
        | 'P' as p ->
            let name = category.Match(pattern, i + 2)

            if not name.Success || not (categories.Contains name.Groups[1].Value) then
                raise (refuse $"names a class that is not a general category, near '{pattern.Substring i}'")

            // Case folding would let \p{Lu} match a small letter in one engine and not in the other.
            if ignoreCase then
                raise (refuse "has a category under (?i:…)")

            struct (pattern.Substring(i, 2 + name.Length), 2 + name.Length, ValueNone)
        | 's'
        | 'S'
        | 'd'
        | 'D' -> struct (pattern.Substring(i, 2), 2, ValueNone)
        | 'r' -> struct (@"\r", 2, ValueSome '\r')
        | 'n' -> struct (@"\n", 2, ValueSome '\n')
        | 't' -> struct (@"\t", 2, ValueSome '\t')
        | 'f' -> struct (@"\f", 2, ValueSome '\f')
        | 'v' -> struct (@"\v", 2, ValueSome '\v')
        | c when Char.IsAscii c && (Char.IsPunctuation c || Char.IsSymbol c || c = ' ') ->
            struct (pattern.Substring(i, 2), 2, ValueSome c)
        | c -> raise (refuse $"uses the escape '\\{c}'")

    /// Oniguruma folds ſ (U+017F) with s; .NET does not.
    let private literal ignoreCase inClass (c: char) =
        match c with
        | 's'
        | 'S' when ignoreCase -> if inClass then "sS\u017F" else "[sS\u017F]"
        | _ -> string c

    /// The end of a character class that starts at `start`, its .NET spelling appended to `out`.
    let private characterClass refuse (pattern: string) start ignoreCase (out: StringBuilder) : int =
        out.Append '[' |> ignore
        let mutable i = start + 1

        if i < pattern.Length && pattern[i] = '^' then
            out.Append '^' |> ignore
            i <- i + 1

        let first = i
        let mutable last = ValueNone
        let mutable closed = false

        let single () : struct (string * int * char voption) =
            match pattern[i] with
            | '\\' -> escape refuse pattern i ignoreCase
            | c when Char.IsSurrogate c -> raise (refuse "names a character beyond U+FFFF")
            | c -> struct (literal ignoreCase true c, 1, ValueSome c)

        while not closed do
            if i >= pattern.Length then
                raise (refuse "has a character class without an end")

            match pattern[i] with
            | ']' when i > first ->
                closed <- true
                i <- i + 1
            | ']'
            | '[' -> raise (refuse "has a character class within a character class")
            | '&' when i + 1 < pattern.Length && pattern[i + 1] = '&' ->
                raise (refuse "intersects character classes with '&&'")
            | '-' when i > first && i + 1 < pattern.Length && pattern[i + 1] <> ']' ->
                i <- i + 1
                let struct (text, length, upper) = single ()

                match last, upper with
                | ValueSome(low: char), ValueSome high when low <= high ->
                    if ignoreCase then
                        raise (refuse "has a range under (?i:…)")

                    if standIns |> List.exists (fun (_, c) -> low <= c && c <= high) then
                        raise (refuse $"has the range U+{int low:X4}–U+{int high:X4}, too wide to be matched exactly")

                    out.Append('-').Append text |> ignore
                    i <- i + length
                    last <- ValueNone
                | _ -> raise (refuse "has a '-' that is no range")
            | _ ->
                let struct (text, length, value) = single ()
                let text = if text = "-" || text = "^" then @"\" + text else text
                out.Append text |> ignore
                i <- i + length
                last <- value

        out.Append ']' |> ignore
        i

    /// The pattern in .NET's syntax.
    let translate (error: string -> exn) (pattern: string) : string =
        let refuse why =
            error $"the pattern {why}: that is not supported"

        let out = StringBuilder()
        let groups = Stack<bool>()
        let ignoreCase () = groups.Count > 0 && groups.Peek()
        let mutable i = 0

        while i < pattern.Length do
            match pattern[i] with
            | '\\' ->
                let struct (text, length, _) = escape refuse pattern i (ignoreCase ())
                out.Append text |> ignore
                i <- i + length
            | '[' -> i <- characterClass refuse pattern i (ignoreCase ()) out
            | '(' ->
                let start = groupStart.Match(pattern, i)

                if start.Length = 1 && i + 1 < pattern.Length && pattern[i + 1] = '?' then
                    raise (
                        refuse
                            $"opens a group that is not (…), (?:…), (?i:…), (?>…) or a lookaround, near '{pattern.Substring i}'"
                    )

                groups.Push(ignoreCase () || start.Value = "(?i:")
                out.Append start.Value |> ignore
                i <- i + start.Length
            | ')' ->
                if groups.Count = 0 then
                    raise (refuse "closes a group that it did not open")

                groups.Pop() |> ignore
                out.Append ')' |> ignore
                i <- i + 1
            | '+'
            | '*'
            | '?' as quantifier ->
                if i + 1 < pattern.Length && pattern[i + 1] = '+' then
                    raise (refuse $"uses the possessive quantifier '{quantifier}+'")

                out.Append quantifier |> ignore
                i <- i + 1
            | '{' ->
                let count = counted.Match(pattern, i)

                if
                    not count.Success
                    || (i + count.Length < pattern.Length && pattern[i + count.Length] = '+')
                then
                    raise (refuse "has a '{' that is no plain repetition")

                out.Append count.Value |> ignore
                i <- i + count.Length
            | '^'
            | '$' as anchor -> raise (refuse $"uses the anchor '{anchor}'")
            | c when Char.IsSurrogate c -> raise (refuse "names a character beyond U+FFFF")
            | '.'
            | '|' as operator ->
                out.Append operator |> ignore
                i <- i + 1
            | c ->
                out.Append(literal (ignoreCase ()) false c) |> ignore
                i <- i + 1

        if groups.Count > 0 then
            raise (refuse "leaves a group open")

        out.ToString()
