/// Each benchmark prints its figures as Markdown tables on stdout, under the machine they were measured on.
module Reft.Benchmarks.Program

open System
open Reft.Benchmarks.Arguments

let private run (options: Arguments) =
    match options.Command with
    | "ratios" -> Ratios.run options
    | "pyreft" -> Pyreft.run options
    | "methods" -> Methods.run options
    | "load" -> Load.run options
    | "edit" -> Edit.run options
    | "int8" -> Int8Cost.run options
    | "scale" -> Scale.run options
    | "tokens" -> Tokens.run options
    | _ ->
        // Each in a process of its own, as when it is run alone.
        [ "ratios"
          "pyreft"
          "methods"
          "edit"
          "int8"
          if not options.Quick then
              "load" ]
        |> List.map (fun command -> options |> again |> Machine.child command)
        |> List.max

[<EntryPoint>]
let main args =
    match List.ofArray args with
    | []
    | [ "--help" ]
    | [ "-h" ] ->
        Console.WriteLine usage
        0
    | args ->
        match parse args with
        | Ok options ->
            try
                run options
            with
            | :? InvalidOperationException
            | :? IO.IOException as e ->
                eprintfn $"{e.Message}"
                1
        | Error problem ->
            eprintfn $"{problem}"
            eprintfn $"{usage}"
            2
