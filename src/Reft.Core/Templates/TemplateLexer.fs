namespace Reft.Core

open System
open System.Globalization
open System.Numerics
open System.Text

/// A piece of a template.
[<RequireQualifiedAccess>]
type internal TemplateToken =
    | Data of string
    | BlockBegin
    | BlockEnd
    | PrintBegin
    | PrintEnd
    | Name of string
    | Text of string
    | Integer of BigInteger
    | Float of float
    | Symbol of string
    | End

    /// How messages call it.
    member token.Description =
        match token with
        | Data _ -> "text outside tags"
        | BlockBegin -> "'{%'"
        | BlockEnd -> "'%}'"
        | PrintBegin -> "'{{'"
        | PrintEnd -> "'}}'"
        | Name name -> $"'{name}'"
        | Text _ -> "a string"
        | Integer n -> $"the number {n}"
        | Float x -> $"the number {PythonNumber.text x}"
        | Symbol symbol -> $"'{symbol}'"
        | End -> "the end of the template"

/// Cuts a template into tokens, with Jinja's rules for white space under trim_blocks and lstrip_blocks.
[<Sealed>]
type internal TemplateLexer private (source: string) =
    let tokens = ResizeArray<struct (int * TemplateToken)>()
    let mutable at = 0
    let mutable line = 1

    let fail (message: string) : unit = raise (TemplateFault(line, message))

    let isNext (text: string) =
        String.CompareOrdinal(source, at, text, 0, text.Length) = 0

    let peek offset =
        if at + offset < source.Length then
            source[at + offset]
        else
            '\000'

    let skipTo next =
        line <- line + source.AsSpan(at, next - at).Count('\n')
        at <- next

    let skipSpace () =
        let mutable next = at

        while next < source.Length && PythonText.isSpace source[next] do
            next <- next + 1

        skipTo next

    let add token = tokens.Add(struct (line, token))

    /// The text before a tag, less the white space that the tag's sign, or lstrip_blocks, takes.
    let addData (start: int) (stop: int) (sign: char) (isPrint: bool) =
        let text = source.Substring(start, stop - start)

        let kept =
            if sign = '-' then
                PythonText.stripEnd None text
            elif sign = '+' || isPrint then
                text
            else
                let lineStart = text.LastIndexOf '\n' + 1
                let begins = lineStart > 0 || start = 0 || source[start - 1] = '\n'

                if begins && text.AsSpan(lineStart).ToString() |> Seq.forall PythonText.isSpace then
                    text.Substring(0, lineStart)
                else
                    text

        if kept <> "" then
            add (TemplateToken.Data kept)

        skipTo stop

    /// The end of a tag at this place, with the white space that it takes: that of a sign, or one line end.
    let tryTagEnd (mark: string) (trims: bool) =
        if isNext ("-" + mark) then
            skipTo (at + 1 + mark.Length)
            skipSpace ()
            true
        elif trims && isNext ("+" + mark) then
            skipTo (at + 1 + mark.Length)
            true
        elif isNext mark then
            skipTo (at + mark.Length)

            if trims && peek 0 = '\n' then
                skipTo (at + 1)

            true
        else
            false

    let signAt place =
        if place < source.Length && (source[place] = '-' || source[place] = '+') then
            source[place]
        else
            ' '

    let comment () =
        let rec close (from: int) =
            match source.IndexOf("#}", from, StringComparison.Ordinal) with
            | -1 -> fail "a comment is not closed by '#}'"
            | found ->
                // The sign belongs to the end.
                let sign = found - 1

                if sign >= at && (source[sign] = '-' || source[sign] = '+') then
                    skipTo sign
                else
                    skipTo found

                tryTagEnd "#}" true |> ignore

        close at

    /// The place after <c>{% raw %}</c> at this place, if it is one: sign, white space, name, white space, end.
    let tryWordTag (word: string) (place: int) =
        let mutable next = place + 2

        if signAt next <> ' ' then
            next <- next + 1

        while next < source.Length && PythonText.isSpace source[next] do
            next <- next + 1

        if String.CompareOrdinal(source, next, word, 0, word.Length) = 0 then
            next <- next + word.Length

            while next < source.Length && PythonText.isSpace source[next] do
                next <- next + 1

            if
                String.CompareOrdinal(source, next, "%}", 0, 2) = 0
                || String.CompareOrdinal(source, next, "-%}", 0, 3) = 0
                || word = "endraw" && String.CompareOrdinal(source, next, "+%}", 0, 3) = 0
            then
                Some next
            else
                None
        else
            None

    let raw (tagEnd: int) =
        skipTo tagEnd

        // Unlike other tags this one does not take the line end after it.
        if isNext "-%}" then
            skipTo (at + 3)
            skipSpace ()
        else
            skipTo (at + 2)

        let start = at

        let rec close (from: int) =
            match source.IndexOf("{%", from, StringComparison.Ordinal) with
            | -1 -> fail "'raw' is not closed by 'endraw'"
            | found ->
                match tryWordTag "endraw" found with
                | Some tagEnd ->
                    addData start found (signAt (found + 2)) false
                    skipTo tagEnd
                    tryTagEnd "%}" true |> ignore
                | None -> close (found + 2)

        close start

    let isNameStart (c: char) = c = '_' || Char.IsLetter c
    let isNamePart (c: char) = c = '_' || Char.IsLetterOrDigit c

    let escape (body: string) =
        let result = StringBuilder body.Length
        let mutable i = 0

        let hex count =
            match
                if i + count <= body.Length then
                    Int32.TryParse(body.AsSpan(i, count), NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture)
                else
                    false, 0
            with
            | true, value when Rune.IsValid value ->
                i <- i + count
                result.Append((Rune value).ToString()) |> ignore
            | _ -> fail "an escape in a string names no character"

        while i < body.Length do
            let c = body[i]
            i <- i + 1

            if c <> '\\' || i = body.Length then
                result.Append c |> ignore
            else
                let next = body[i]
                i <- i + 1

                match next with
                | '\n' -> ()
                | '\\'
                | '\''
                | '"' -> result.Append next |> ignore
                | 'a' -> result.Append '\a' |> ignore
                | 'b' -> result.Append '\b' |> ignore
                | 'f' -> result.Append '\f' |> ignore
                | 'n' -> result.Append '\n' |> ignore
                | 'r' -> result.Append '\r' |> ignore
                | 't' -> result.Append '\t' |> ignore
                | 'v' -> result.Append '\v' |> ignore
                | 'x' -> hex 2
                | 'u' -> hex 4
                | 'U' -> hex 8
                | 'N' -> fail @"the escape '\N{…}' is not supported: write the character itself"
                | '0'
                | '1'
                | '2'
                | '3'
                | '4'
                | '5'
                | '6'
                | '7' ->
                    let mutable value = int next - int '0'
                    let mutable digits = 1

                    while digits < 3 && i < body.Length && body[i] >= '0' && body[i] <= '7' do
                        value <- value * 8 + int body[i] - int '0'
                        i <- i + 1
                        digits <- digits + 1

                    result.Append(char value) |> ignore
                | next when next < '\u0080' -> result.Append('\\').Append(next) |> ignore
                | next ->
                    // Jinja writes what is not ASCII as an escape first; the backslash then takes that one's own.
                    let size =
                        if Char.IsHighSurrogate next && i < body.Length then
                            2
                        else
                            1

                    let point = Char.ConvertToUtf32(body.Substring(i - 1, size), 0)
                    i <- i + size - 1

                    (if point < 0x100 then
                         result.Append(@"\x").Append(point.ToString "x2")
                     elif point < 0x10000 then
                         result.Append(@"\u").Append(point.ToString "x4")
                     else
                         result.Append(@"\U").Append(point.ToString "x8"))
                    |> ignore

        result.ToString()

    let text (quote: char) =
        let mutable stop = at + 1

        while stop < source.Length && source[stop] <> quote do
            stop <- stop + (if source[stop] = '\\' then 2 else 1)

        if stop >= source.Length then
            fail "a string is not closed"

        add (TemplateToken.Text(escape (source.Substring(at + 1, stop - at - 1))))
        skipTo (stop + 1)

    let number () =
        let digitsFrom (start: int) (isDigit: char -> bool) =
            let mutable stop = start

            while stop < source.Length
                  && (isDigit source[stop]
                      || source[stop] = '_'
                         && stop > start
                         && stop + 1 < source.Length
                         && isDigit source[stop + 1]) do
                stop <- stop + 1

            stop

        let based =
            match Char.ToLowerInvariant(peek 1) with
            | 'x' when peek 0 = '0' -> Some Char.IsAsciiHexDigit
            | 'o' when peek 0 = '0' -> Some(fun c -> c >= '0' && c <= '7')
            | 'b' when peek 0 = '0' -> Some(fun c -> c = '0' || c = '1')
            | _ -> None

        let integer (stop: int) =
            match PythonNumber.tryInteger 0 (source.Substring(at, stop - at)) with
            | Some n ->
                add (TemplateToken.Integer n)
                skipTo stop
            | None -> fail "a number is too long"

        match based with
        | Some isDigit when digitsFrom (at + 2) isDigit > at + 2 -> integer (digitsFrom (at + 2) isDigit)
        | _ ->
            let whole = digitsFrom at Char.IsAsciiDigit

            let fraction =
                if
                    whole + 1 < source.Length
                    && source[whole] = '.'
                    && Char.IsAsciiDigit source[whole + 1]
                then
                    digitsFrom (whole + 1) Char.IsAsciiDigit
                else
                    whole

            let power =
                if fraction < source.Length && (source[fraction] = 'e' || source[fraction] = 'E') then
                    let start =
                        if
                            fraction + 1 < source.Length
                            && (source[fraction + 1] = '+' || source[fraction + 1] = '-')
                        then
                            fraction + 2
                        else
                            fraction + 1

                    let stop = digitsFrom start Char.IsAsciiDigit
                    if stop > start then stop else fraction
                else
                    fraction

            // A number after a dot is an index: `a.0.1` has no fraction in it.
            let afterDot = at > 0 && source[at - 1] = '.'

            if power > whole && not afterDot then
                match PythonNumber.tryFloat (source.Substring(at, power - at)) with
                | Some x ->
                    add (TemplateToken.Float x)
                    skipTo power
                | None -> fail "a number cannot be read"
            else
                let all = source.AsSpan(at, whole - at)

                if all.Length > 1 && all[0] = '0' && all.IndexOfAnyExcept('0', '_') >= 0 then
                    // Python has no such number; Jinja reads the zero alone.
                    add (TemplateToken.Integer BigInteger.Zero)
                    skipTo (at + 1)
                else
                    integer whole

    let symbols = [ "**"; "//"; "=="; "!="; ">="; "<=" ]

    /// The tokens of one tag, up to and with its end.
    let tag (isPrint: bool) =
        let mark, ending =
            if isPrint then
                "}}", TemplateToken.PrintEnd
            else
                "%}", TemplateToken.BlockEnd

        let opened = System.Collections.Generic.Stack<char>()
        let mutable inside = true

        while inside do
            let before = line

            if opened.Count = 0 && tryTagEnd mark (not isPrint) then
                tokens.Add(struct (before, ending))
                inside <- false
            elif at >= source.Length then
                fail $"a tag is not closed by '{mark}'"
            else
                let c = source[at]

                if PythonText.isSpace c then
                    skipSpace ()
                elif Char.IsAsciiDigit c then
                    number ()
                elif isNameStart c then
                    let mutable stop = at + 1

                    while stop < source.Length && isNamePart source[stop] do
                        stop <- stop + 1

                    add (TemplateToken.Name(source.Substring(at, stop - at)))
                    skipTo stop
                elif c = '"' || c = '\'' then
                    text c
                else
                    match symbols |> List.tryFind isNext with
                    | Some symbol ->
                        add (TemplateToken.Symbol symbol)
                        skipTo (at + 2)
                    | None when "+-/*%~[](){}><=.:|,;".Contains c ->
                        match c with
                        | '('
                        | '['
                        | '{' -> opened.Push c
                        | ')'
                        | ']'
                        | '}' ->
                            let expected =
                                match opened.TryPop() with
                                | true, '(' -> ')'
                                | true, '[' -> ']'
                                | true, _ -> '}'
                                | _ -> ' '

                            if expected <> c then
                                fail (
                                    if expected = ' ' then
                                        $"unexpected '{c}'"
                                    else
                                        $"unexpected '{c}', expected '{expected}'"
                                )
                        | _ -> ()

                        add (TemplateToken.Symbol(string c))
                        skipTo (at + 1)
                    | None -> fail $"unexpected character '{(Rune.GetRuneAt(source, at)).ToString()}'"

    /// The text up to the next tag, and that tag.
    let piece () =
        let start = at
        let found = source.AsSpan(at)

        let mutable next = -1
        let mutable from = 0

        while next < 0 && from < found.Length do
            match found.Slice(from).IndexOf '{' with
            | -1 -> from <- found.Length
            | brace ->
                let place = from + brace

                if
                    place + 1 < found.Length
                    && (found[place + 1] = '{' || found[place + 1] = '%' || found[place + 1] = '#')
                then
                    next <- start + place
                else
                    from <- place + 1

        if next < 0 then
            if start < source.Length then
                add (TemplateToken.Data(source.Substring start))
                skipTo source.Length
        else
            let kind = source[next + 1]
            let sign = signAt (next + 2)
            addData start next sign (kind = '{')

            match kind, (if kind = '%' then tryWordTag "raw" next else None) with
            | _, Some tagEnd -> raw tagEnd
            | '#', _ ->
                skipTo (next + 2 + (if sign = ' ' then 0 else 1))
                comment ()
            | _ ->
                add (
                    if kind = '{' then
                        TemplateToken.PrintBegin
                    else
                        TemplateToken.BlockBegin
                )

                skipTo (next + 2 + (if sign = ' ' then 0 else 1))
                tag (kind = '{')

    do
        while at < source.Length do
            piece ()

        add TemplateToken.End

    member private _.Found = tokens.ToArray()

    /// The tokens of a template with the lines they stand on; the last one is the end.
    static member Tokens(template: string) : struct (int * TemplateToken)[] =
        if template.Length > TemplateLimit.source then
            raise (
                TemplateFault(
                    1,
                    $"the template is too long: expected at most {TemplateLimit.source} characters, found {template.Length}"
                )
            )

        if
            template |> Seq.exists Char.IsSurrogate
            && not (PythonText.isWellFormed template)
        then
            raise (TemplateFault(1, "the template is not valid Unicode"))

        let unified = template.Replace("\r\n", "\n").Replace('\r', '\n')

        let source =
            if unified.EndsWith '\n' then
                unified.Substring(0, unified.Length - 1)
            else
                unified

        (TemplateLexer source).Found
