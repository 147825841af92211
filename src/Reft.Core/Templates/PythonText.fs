namespace Reft.Core

open System
open System.Globalization
open System.Text

/// Python's view of text: made of code points, with its own idea of white space, lines and letters' cases.
[<RequireQualifiedAccess>]
module internal PythonText =

    let isSpace (c: char) =
        Char.IsWhiteSpace c || c >= '\u001c' && c <= '\u001f'

    let private hasSurrogates (s: string) =
        s.AsSpan().IndexOfAnyInRange('\ud800', '\udfff') >= 0

    /// Whether no half of a surrogate pair stands alone.
    let isWellFormed (s: string) : bool =
        let mutable fits = true
        let mutable i = 0

        while fits && i < s.Length do
            if Char.IsSurrogate s[i] then
                fits <- i + 1 < s.Length && Char.IsSurrogatePair(s[i], s[i + 1])
                i <- i + 1

            i <- i + 1

        fits

    /// How many code points it has.
    let length (s: string) : int =
        if hasSurrogates s then
            let mutable count = 0

            for c in s do
                if not (Char.IsLowSurrogate c) then
                    count <- count + 1

            count
        else
            s.Length

    /// Its code points, each as a text.
    let points (s: string) : string[] =
        [| for rune in s.EnumerateRunes() -> rune.ToString() |]

    /// Where, in UTF-16 units, the code point stands.
    let private unitAt (s: string) (point: int) =
        let mutable at = 0

        for _ in 1..point do
            at <- at + (if Char.IsHighSurrogate s[at] then 2 else 1)

        at

    /// The code points from a first one up to, but not with, a last one.
    let slice (first: int) (last: int) (s: string) : string =
        if first >= last then
            ""
        elif hasSurrogates s then
            let start = unitAt s first
            s.Substring(start, unitAt (s.Substring start) (last - first))
        else
            s.Substring(first, last - first)

    /// How many code points stand before a UTF-16 unit.
    let pointOf (s: string) (unit: int) : int = length (s.Substring(0, unit))

    let private isAny (chars: string option) =
        match chars with
        | None -> fun (rune: Rune) -> rune.IsBmp && isSpace (char rune.Value)
        | Some chars ->
            let set =
                [| for rune in chars.EnumerateRunes() -> rune |]
                |> System.Collections.Generic.HashSet

            fun rune -> set.Contains rune

    let stripStart (chars: string option) (s: string) : string =
        let strips = isAny chars
        let mutable start = 0
        let mutable go = true

        while go && start < s.Length do
            let rune = Rune.GetRuneAt(s, start)

            if strips rune then
                start <- start + rune.Utf16SequenceLength
            else
                go <- false

        s.Substring start

    let stripEnd (chars: string option) (s: string) : string =
        let strips = isAny chars
        let mutable stop = s.Length
        let mutable go = true

        while go && stop > 0 do
            let size = if Char.IsLowSurrogate s[stop - 1] then 2 else 1

            if strips (Rune.GetRuneAt(s, stop - size)) then
                stop <- stop - size
            else
                go <- false

        s.Substring(0, stop)

    let strip (chars: string option) (s: string) : string = s |> stripStart chars |> stripEnd chars

    let private endsLine (c: char) =
        match c with
        | '\n'
        | '\r'
        | '\u000b'
        | '\u000c'
        | '\u001c'
        | '\u001d'
        | '\u001e'
        | '\u0085'
        | '\u2028'
        | '\u2029' -> true
        | _ -> false

    let splitLines (keepEnds: bool) (s: string) : string list =
        let rec from start found =
            if start >= s.Length then
                List.rev found
            else
                let mutable at = start

                while at < s.Length && not (endsLine s[at]) do
                    at <- at + 1

                let next =
                    if at >= s.Length then
                        at
                    elif s[at] = '\r' && at + 1 < s.Length && s[at + 1] = '\n' then
                        at + 2
                    else
                        at + 1

                from next (s.Substring(start, (if keepEnds then next else at) - start) :: found)

        from 0 []

    /// Parts between white space, none empty; at most that many cuts, where given, from the left.
    let splitSpace (most: int) (s: string) : string list =
        let rec from start cuts found =
            let mutable first = start

            while first < s.Length && isSpace s[first] do
                first <- first + 1

            if first >= s.Length then
                List.rev found
            elif cuts = most then
                List.rev (s.Substring first :: found)
            else
                let mutable last = first

                while last < s.Length && not (isSpace s[last]) do
                    last <- last + 1

                from last (cuts + 1) (s.Substring(first, last - first) :: found)

        from 0 0 []

    /// The same from the right.
    let splitSpaceRight (most: int) (s: string) : string list =
        let rec from stop cuts found =
            let mutable last = stop

            while last > 0 && isSpace s[last - 1] do
                last <- last - 1

            if last = 0 then
                found
            elif cuts = most then
                s.Substring(0, last) :: found
            else
                let mutable first = last

                while first > 0 && not (isSpace s[first - 1]) do
                    first <- first - 1

                from first (cuts + 1) (s.Substring(first, last - first) :: found)

        from s.Length 0 []

    /// Parts between separators; at most that many cuts, where it is not negative, from the left.
    let split (separator: string) (most: int) (s: string) : string list =
        let rec from start cuts found =
            let at =
                if cuts = most then
                    -1
                else
                    s.IndexOf(separator, start, StringComparison.Ordinal)

            if at < 0 then
                List.rev (s.Substring start :: found)
            else
                from (at + separator.Length) (cuts + 1) (s.Substring(start, at - start) :: found)

        from 0 0 []

    /// The same from the right.
    let splitRight (separator: string) (most: int) (s: string) : string list =
        let rec from stop cuts found =
            let at =
                if cuts = most then
                    -1
                else
                    s.AsSpan(0, stop).LastIndexOf(separator.AsSpan())

            if at < 0 then
                s.Substring(0, stop) :: found
            else
                from at (cuts + 1) (s.Substring(at + separator.Length, stop - at - separator.Length) :: found)

        from s.Length 0 []

    let private map
        (exceptions: System.Collections.Generic.IReadOnlyDictionary<int, string>)
        (simple: Rune -> Rune)
        (s: string)
        =
        let result = StringBuilder s.Length

        for rune in s.EnumerateRunes() do
            match exceptions.TryGetValue rune.Value with
            | true, text -> result.Append text |> ignore
            | _ -> result.Append((simple rune).ToString()) |> ignore

        result.ToString()

    let upper (s: string) : string =
        if Ascii.IsValid(s.AsSpan()) then
            s.ToUpperInvariant()
        else
            map PythonCases.upper Rune.ToUpperInvariant s

    let private isCased (rune: Rune) =
        match Rune.GetUnicodeCategory rune with
        | UnicodeCategory.UppercaseLetter
        | UnicodeCategory.LowercaseLetter
        | UnicodeCategory.TitlecaseLetter -> true
        | _ -> false

    /// A sigma that ends a word has a form of its own in lower case.
    let private finalSigmas (original: string) (lowered: string) =
        if original.Contains 'Σ' && original.Length = lowered.Length then
            String.mapi
                (fun i c ->
                    let cased at =
                        at >= 0
                        && at < original.Length
                        && not (Char.IsSurrogate original[at])
                        && isCased (Rune original[at])

                    if original[i] = 'Σ' && cased (i - 1) && not (cased (i + 1)) then
                        'ς'
                    else
                        c)
                lowered
        else
            lowered

    let lower (s: string) : string =
        if Ascii.IsValid(s.AsSpan()) then
            s.ToLowerInvariant()
        else
            map PythonCases.lower Rune.ToLowerInvariant s |> finalSigmas s

    /// The first letter as in a title.
    let private titled (point: string) =
        match PythonCases.title.TryGetValue((Rune.GetRuneAt(point, 0)).Value) with
        | true, text -> text
        | _ -> upper point

    /// The first code point as in a title, the rest in lower case.
    let capitalize (s: string) : string =
        if s = "" then
            ""
        else
            let size = (Rune.GetRuneAt(s, 0)).Utf16SequenceLength
            titled (s.Substring(0, size)) + lower (s.Substring size)

    /// Every word's first letter as in a title; a word is a run of letters that have cases.
    let title (s: string) : string =
        let result = StringBuilder s.Length
        let mutable inWord = false

        for rune in s.EnumerateRunes() do
            let point = rune.ToString()
            result.Append(if inWord then lower point else titled point) |> ignore
            inWord <- isCased rune

        result.ToString()

    let swapCase (s: string) : string =
        String.concat
            ""
            [ for rune in s.EnumerateRunes() do
                  let point = rune.ToString()

                  match Rune.GetUnicodeCategory rune with
                  | UnicodeCategory.UppercaseLetter -> lower point
                  | UnicodeCategory.LowercaseLetter -> upper point
                  | _ -> point ]

    let private all (holds: Rune -> bool) (s: string) =
        s <> "" && s.EnumerateRunes() |> Seq.forall holds

    let isSpaces (s: string) = s <> "" && s |> Seq.forall isSpace
    let isAlpha (s: string) = all Rune.IsLetter s

    let isDecimal (s: string) =
        all (fun rune -> Rune.GetUnicodeCategory rune = UnicodeCategory.DecimalDigitNumber) s

    let isDigit (s: string) =
        all
            (fun rune ->
                Rune.GetUnicodeCategory rune = UnicodeCategory.DecimalDigitNumber
                || CharUnicodeInfo.GetDigitValue(rune.ToString(), 0) >= 0)
            s

    let isNumeric (s: string) =
        all (fun rune -> Rune.GetNumericValue rune >= 0.0 || Rune.IsNumber rune) s

    let isAlphaNumeric (s: string) =
        all (fun rune -> Rune.IsLetter rune || Rune.IsNumber rune) s

    let private casesAre (wrong: UnicodeCategory) (right: UnicodeCategory) (s: string) =
        let categories = [ for rune in s.EnumerateRunes() -> Rune.GetUnicodeCategory rune ]

        List.contains right categories
        && not (List.contains wrong categories)
        && not (List.contains UnicodeCategory.TitlecaseLetter categories)

    let isLower =
        casesAre UnicodeCategory.UppercaseLetter UnicodeCategory.LowercaseLetter

    let isUpper =
        casesAre UnicodeCategory.LowercaseLetter UnicodeCategory.UppercaseLetter

    /// Before and after by the code points' order, which differs from that of UTF-16 units.
    let compare (a: string) (b: string) : int =
        let same = a.AsSpan().CommonPrefixLength(b.AsSpan())

        if same = a.Length || same = b.Length then
            compare a.Length b.Length
        else
            let weight (c: char) =
                if Char.IsSurrogate c then int c + 0x10000 else int c

            compare (weight a[same]) (weight b[same])

    /// For HTML, as the package that Jinja uses for it does.
    let escapeHtml (s: string) : string =
        s.Replace("&", "&amp;").Replace(">", "&gt;").Replace("<", "&lt;").Replace("'", "&#39;").Replace("\"", "&#34;")
