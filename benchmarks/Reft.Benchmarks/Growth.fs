/// How speed grows or falls along each axis of a comparison, as one picture.
module Reft.Benchmarks.Growth

open ScottPlot

[<Literal>]
let private Width = 420

[<Literal>]
let private Height = 320

/// A panel for each axis: tokens per second against its value, a line for each method.
let plot (path: string) (panels: (string * (string * (float * float) list) list) list) : unit =
    let multiplot = new Multiplot()
    multiplot.AddPlots panels.Length
    multiplot.Layout <- MultiplotLayouts.Grid(1, panels.Length)

    panels
    |> List.iteri (fun number (axis, lines) ->
        let plot = multiplot.GetPlot number

        for name, points in lines do
            let line =
                plot.Add.Scatter(points |> List.map fst |> List.toArray, points |> List.map snd |> List.toArray)

            line.LegendText <- name

        plot.XLabel axis
        plot.Axes.SetLimitsY(0.0, 1.15 * (lines |> List.collect snd |> List.map snd |> List.max))

        if number = 0 then
            plot.YLabel "tokens per second"
            plot.ShowLegend Alignment.UpperRight |> ignore)

    multiplot.SavePng(path, Width * panels.Length, Height) |> ignore
