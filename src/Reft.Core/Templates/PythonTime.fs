namespace Reft.Core

open System
open System.Globalization
open System.Text

/// Python's strftime, in the C locale and without a time zone.
[<RequireQualifiedAccess>]
module internal PythonTime =

    let private number (minimum: int) (padding: char) (n: int) =
        n.ToString(CultureInfo.InvariantCulture).PadLeft(minimum, padding)

    /// The week of the year when weeks begin on that day.
    let private week (first: DayOfWeek) (time: DateTime) =
        let since = (int time.DayOfWeek - int first + 7) % 7
        (time.DayOfYear + 6 - since) / 7

    let rec strftime (run: TemplateRun) (format: string) (time: DateTime) : string =
        let result = StringBuilder()
        let mutable at = 0

        while at < format.Length do
            let c = format[at]
            at <- at + 1

            if c <> '%' || at = format.Length then
                result.Append c |> ignore
            else
                let padding, kind =
                    match format[at] with
                    | '-' when at + 1 < format.Length ->
                        at <- at + 1
                        Some None, format[at]
                    | '_' when at + 1 < format.Length ->
                        at <- at + 1
                        Some(Some ' '), format[at]
                    | kind -> None, kind

                at <- at + 1

                let digits minimum preset n =
                    match padding with
                    | Some None -> number 1 '0' n
                    | Some(Some fill) -> number minimum fill n
                    | None -> number minimum preset n

                let named (format: string) =
                    time.ToString(format, CultureInfo.InvariantCulture)

                let hour12 = (time.Hour + 11) % 12 + 1

                let text =
                    match kind with
                    | 'Y' -> number 1 '0' time.Year
                    | 'C' -> digits 2 '0' (time.Year / 100)
                    | 'y' -> digits 2 '0' (time.Year % 100)
                    | 'm' -> digits 2 '0' time.Month
                    | 'd' -> digits 2 '0' time.Day
                    | 'e' -> digits 2 ' ' time.Day
                    | 'H' -> digits 2 '0' time.Hour
                    | 'I' -> digits 2 '0' hour12
                    | 'k' -> digits 2 ' ' time.Hour
                    | 'l' -> digits 2 ' ' hour12
                    | 'M' -> digits 2 '0' time.Minute
                    | 'S' -> digits 2 '0' time.Second
                    | 'f' -> number 6 '0' (int (time.Ticks % TimeSpan.TicksPerSecond / 10L))
                    | 'j' -> digits 3 '0' time.DayOfYear
                    | 'U' -> digits 2 '0' (week DayOfWeek.Sunday time)
                    | 'W' -> digits 2 '0' (week DayOfWeek.Monday time)
                    | 'V' -> digits 2 '0' (ISOWeek.GetWeekOfYear time)
                    | 'G' -> number 1 '0' (ISOWeek.GetYear time)
                    | 'w' -> number 1 '0' (int time.DayOfWeek)
                    | 'u' -> number 1 '0' ((int time.DayOfWeek + 6) % 7 + 1)
                    | 'b'
                    | 'h' -> named "MMM"
                    | 'B' -> named "MMMM"
                    | 'a' -> named "ddd"
                    | 'A' -> named "dddd"
                    | 'p' -> if time.Hour < 12 then "AM" else "PM"
                    | 'Z'
                    | 'z' -> ""
                    | 'n' -> "\n"
                    | 't' -> "\t"
                    | '%' -> "%"
                    | 'D'
                    | 'x' -> strftime run "%m/%d/%y" time
                    | 'F' -> strftime run "%Y-%m-%d" time
                    | 'T'
                    | 'X' -> strftime run "%H:%M:%S" time
                    | 'R' -> strftime run "%H:%M" time
                    | 'r' -> strftime run "%I:%M:%S %p" time
                    | 'c' -> strftime run "%a %b %e %H:%M:%S %Y" time
                    | kind -> run.Fail $"strftime_now: the format '%%{kind}' is not supported"

                result.Append text |> ignore

        run.ChargeText(int64 result.Length)
        result.ToString()
