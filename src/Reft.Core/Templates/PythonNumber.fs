namespace Reft.Core

open System
open System.Globalization
open System.Numerics

/// Python's numbers: how they are written, read and divided.
[<RequireQualifiedAccess>]
module internal PythonNumber =

    let private invariant = CultureInfo.InvariantCulture

    /// The shortest text that reads back exactly, with an exponent below 1e-4 and from 1e16 on.
    let text (x: float) : string =
        if Double.IsNaN x then
            "nan"
        elif Double.IsInfinity x then
            if x > 0.0 then "inf" else "-inf"
        elif x = 0.0 then
            if Double.IsNegative x then "-0.0" else "0.0"
        else
            let shortest = x.ToString("R", invariant)

            let sign = if x < 0.0 then "-" else ""

            let mantissa =
                match shortest.IndexOf 'E' with
                | -1 -> shortest
                | e -> shortest.Substring(0, e)

            let digits = mantissa.Replace("-", "").Replace(".", "").TrimStart('0').TrimEnd('0')

            // The power of ten of the first digit.
            let exponent =
                match shortest.IndexOf 'E' with
                | -1 ->
                    let point =
                        if mantissa.Contains '.' then
                            mantissa.IndexOf '.'
                        else
                            mantissa.Length

                    let whole = mantissa.Substring(0, point).TrimStart('-', '0')

                    if whole <> "" then
                        whole.Length - 1
                    else
                        let fraction = mantissa.Substring(point + 1)
                        fraction.TrimStart('0').Length - fraction.Length - 1
                | e -> Int32.Parse(shortest.AsSpan(e + 1), NumberStyles.AllowLeadingSign, invariant)

            if exponent < -4 || exponent >= 16 then
                let fraction =
                    if digits.Length > 1 then
                        $"{digits[0]}.{digits.Substring 1}"
                    else
                        digits

                let mark = if exponent < 0 then "-" else "+"
                let power = (abs exponent).ToString("00", invariant)
                $"{sign}{fraction}e{mark}{power}"
            elif exponent < 0 then
                sign + "0." + String('0', -exponent - 1) + digits
            elif digits.Length <= exponent + 1 then
                sign + digits.PadRight(exponent + 1, '0') + ".0"
            else
                $"{sign}{digits.Substring(0, exponent + 1)}.{digits.Substring(exponent + 1)}"

    let private trimmed (s: string) = PythonText.strip None s

    /// What Python's int() makes of a text; None where it fails.
    let tryInteger (radix: int) (s: string) : BigInteger option =
        let s = (trimmed s).ToLowerInvariant()
        let negative = s.StartsWith '-'

        let body =
            if s.StartsWith '-' || s.StartsWith '+' then
                s.Substring 1
            else
                s

        let prefixed, radix =
            match radix, (if body.Length > 2 then body.Substring(0, 2) else "") with
            | (0 | 16), "0x" -> true, 16
            | (0 | 8), "0o" -> true, 8
            | (0 | 2), "0b" -> true, 2
            | 0, _ -> false, 10
            | _ -> false, radix

        let digits = if prefixed then body.Substring 2 else body

        let digitOf (c: char) =
            if Char.IsAsciiDigit c then
                int c - int '0'
            elif Char.IsAsciiLetterLower c then
                int c - int 'a' + 10
            elif Char.IsDigit c then
                CharUnicodeInfo.GetDecimalDigitValue c
            else
                99

        let underscoresFit =
            not (digits.EndsWith '_')
            && not (digits.Contains "__")
            && (prefixed || not (digits.StartsWith '_'))

        let plain = digits.Replace("_", "")

        if
            plain = ""
            || not underscoresFit
            || plain.Length > 4300
            || radix < 2
            || radix > 36
            || plain |> Seq.exists (fun c -> digitOf c >= radix)
        then
            None
        else
            let scale = BigInteger radix

            let magnitude =
                plain
                |> Seq.fold (fun (sum: BigInteger) c -> sum * scale + BigInteger(digitOf c)) BigInteger.Zero

            Some(if negative then -magnitude else magnitude)

    /// What Python's float() makes of a text; None where it fails.
    let tryFloat (s: string) : float option =
        let s = (trimmed s).ToLowerInvariant()

        match s.TrimStart('+', '-') with
        | "inf"
        | "infinity" when s.Length - s.TrimStart('+', '-').Length <= 1 ->
            Some(
                if s.StartsWith '-' then
                    Double.NegativeInfinity
                else
                    Double.PositiveInfinity
            )
        | "nan" when s.Length <= 4 -> Some Double.NaN
        | _ ->
            let styles =
                NumberStyles.AllowLeadingSign
                ||| NumberStyles.AllowDecimalPoint
                ||| NumberStyles.AllowExponent

            if
                s.Contains "__"
                || s.StartsWith '_'
                || s.EndsWith '_'
                || s
                   |> Seq.exists (fun c -> not (Char.IsAsciiLetterOrDigit c || "+-._".Contains c))
            then
                None
            else
                match Double.TryParse(s.Replace("_", ""), styles, invariant) with
                | true, x -> Some x
                | _ -> None

    /// Division that rounds down, with the remainder that goes with it.
    let floorDivide (a: BigInteger) (b: BigInteger) : struct (BigInteger * BigInteger) =
        let mutable remainder = BigInteger.Zero
        let quotient = BigInteger.DivRem(a, b, &remainder)

        if not remainder.IsZero && (remainder.Sign < 0) <> (b.Sign < 0) then
            struct (quotient - BigInteger.One, remainder + b)
        else
            struct (quotient, remainder)

    /// The remainder with the sign of the divisor.
    let modulo (a: float) (b: float) : float =
        let r = a % b

        if r <> 0.0 && (r < 0.0) <> (b < 0.0) then r + b
        elif r = 0.0 then Math.CopySign(0.0, b)
        else r
