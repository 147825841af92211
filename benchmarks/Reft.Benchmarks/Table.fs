/// Tables in Markdown, so that they can be pasted into docs/measurements.md.
module Reft.Benchmarks.Table

open System

let print (header: string list) (rows: string list list) : unit =
    let width column =
        header :: rows
        |> List.map (fun row -> String.length (List.item column row))
        |> List.max

    let widths = header |> List.mapi (fun column _ -> width column)

    let line (cells: string list) =
        let padded =
            List.mapi2
                (fun column (cell: string) (width: int) ->
                    if column = 0 then
                        cell.PadRight width
                    else
                        cell.PadLeft width)
                cells
                widths

        "| " + String.Join(" | ", padded) + " |"

    let rule =
        widths
        |> List.mapi (fun column width -> String('-', width + 1) + (if column = 0 then "-" else ":"))

    Console.WriteLine()
    Console.WriteLine(line header)
    Console.WriteLine("|" + String.Join("|", rule) + "|")
    rows |> List.iter (line >> Console.WriteLine)
    Console.WriteLine()

/// Seconds as milliseconds.
let ms (seconds: float) : string = $"{1000.0 * seconds:F1}"

/// A line of the process's memory; see Machine.memory.
let memory (key: string) : string = $"{Machine.memory key:F0}"

let times (ratio: float) : string = $"{ratio:F3}"

/// Rows of a table of times: name, wall and CPU milliseconds.
let series (series: Timing.Series list) : string list list =
    [ for s in series -> [ s.Name; ms (Timing.wall s); ms (Timing.cpuSeconds s) ] ]

/// A row of a table of ratios: name, of wall and of CPU seconds.
let ratio (name: string) (ratio: Timing.Sample) : string list =
    [ name; times ratio.Wall; times ratio.Cpu ]
