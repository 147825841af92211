module Reft.Core.Tests.Reft.PyreftPositionsTests

open System.IO
open System.Text.Json
open Expecto
open FsCheck
open Reft.Core
open Reft.Core.Syntax
open Reft.Core.Tests

let private rows file =
    File.ReadAllLines(Golden.path [ "c_locations"; file ])
    |> Array.filter ((<>) "")
    |> Array.map (fun line ->
        use json = JsonDocument.Parse line
        json.RootElement.Clone())

let private lists (element: JsonElement) =
    [ for row in element.EnumerateArray() -> [ for item in row.EnumerateArray() -> item.GetInt32() ] ]

/// The last columns of both tables: interventions, sharing, padding, result.
let private check first last (row: JsonElement) start =
    let options =
        { LastPosition = row[0].GetInt32()
          First = first
          Last = last
          NumInterventions = row[start].GetInt32()
          ShareWeights = row[start + 1].GetInt32() = 1
          PadMode =
            match row[start + 2].GetString() with
            | "first" -> PyreftPadMode.First
            | _ -> PyreftPadMode.Last }

    Expect.equal row[start + 3].ValueKind JsonValueKind.Array "a result, not an exception"
    Expect.equal (Positions.pyreft options) (lists row[start + 3]) $"%A{options}"

let private parsed (text: string) =
    let struct (first, last) = PyreftPositions.parsePositions text
    first, last

let private placed (chosen: PyreftPositions) =
    loreft 2 |> at (blockOutput [ 1 ]) (Positions.Pyreft chosen)

let private written (spec: ReftSpec) =
    use stream = new MemoryStream()

    (use writer = new Utf8JsonWriter(stream)
     SpecJson.write writer spec)

    let file = Path.GetTempFileName()

    try
        File.WriteAllBytes(file, stream.ToArray())
        JsonValue.read 1_000_000 file |> SpecJson.read Registry.standard
    finally
        File.Delete file

[<Tests>]
let tests =
    testList
        "Positions of pyreft"
        [ test "every row of the table of positions" {
              let rows = rows "locations.jsonl"
              Expect.equal rows.Length 3536 "rows"

              for row in rows do
                  let first, last = parsed (row[1].GetString() |> string)
                  check first last row 2
          }
          test "every row of the random table" {
              let rows = rows "locations_random.jsonl"
              Expect.equal rows.Length 1500 "rows"

              for row in rows do
                  check (row[1].GetInt32()) (row[2].GetInt32()) row 3
          }
          test "every text that pyreft parses, and every one that it refuses" {
              use json =
                  JsonDocument.Parse(File.ReadAllText(Golden.path [ "c_locations"; "parse_positions.json" ]))

              for entry in json.RootElement.EnumerateObject() do
                  match entry.Value.ValueKind with
                  | JsonValueKind.Array ->
                      Expect.equal
                          (parsed entry.Name)
                          (entry.Value[0].GetInt32(), entry.Value[1].GetInt32())
                          $"'{entry.Name}'"
                  | _ ->
                      Expect.throwsT<System.ArgumentException> (fun () -> parsed entry.Name |> ignore) $"'{entry.Name}'"
          }
          test "left-over slots stay out of the row, or point at the token after the prompt once each" {
              let tokens padding tied count =
                  { First = 2
                    Last = 2
                    Padding = padding }
                  |> PyreftPositions.tokens tied count

              Expect.equal (tokens PyreftPadding.Sink true 3) [ [ 0; 2 ] ] "tied, sink"
              Expect.equal (tokens PyreftPadding.NextToken true 3) [ [ 0; 2; 3; 3 ] ] "tied, next token"
              Expect.equal (tokens PyreftPadding.NextToken false 3) [ [ 0; 3 ]; [ 2; 3 ] ] "untied, next token"
              Expect.equal (tokens PyreftPadding.Sink false 1) [ []; [] ] "untied, one token, sink"

              Expect.equal
                  (tokens PyreftPadding.NextToken false 1)
                  [ [ 1; 1; 1; 1 ]; [ 1; 1; 1; 1 ] ]
                  "both groups have the same slots where a side has none left"
          }
          testProperty
              "they parse as they print, and load as they were saved"
              (fun (NonNegativeInt first) (NonNegativeInt last) next tie ->
                  let chosen =
                      { First = first
                        Last = if first = 0 then last + 1 else last
                        Padding = if next then PyreftPadding.NextToken else PyreftPadding.Sink }

                  let spec =
                      placed chosen |> ReftSpec.withTying (if tie then Tying.Tied else Tying.Groups)

                  let loaded = written spec

                  Positions.parse (string (Positions.Pyreft chosen)) = Positions.Pyreft chosen
                  && loaded.Head.Where = Positions.Pyreft chosen
                  && loaded.Head.Tie = spec.Head.Tie)
          test "no slots, unions and phases beyond the prompt are refused" {
              let refuse text body =
                  Golden.throwsWith<System.ArgumentException> [ text ] body

              let two =
                  { First = 1
                    Last = 1
                    Padding = PyreftPadding.NextToken }

              refuse "count" (fun () -> placed { two with First = 0; Last = 0 } |> ignore)
              refuse "count" (fun () -> placed { two with First = -1 } |> ignore)
              refuse "whole by themselves" (fun () -> first 1 + Positions.Pyreft two |> Positions.validate |> ignore)

              refuse "the phase Prompt" (fun () ->
                  placed two |> ReftSpec.during Phase.Always |> ReftSpec.validate TinyModel.config)

              refuse "of 0 … 1000000" (fun () ->
                  Positions.pyreft
                      { LastPosition = -1
                        First = 1
                        Last = 1
                        NumInterventions = 1
                        ShareWeights = false
                        PadMode = PyreftPadMode.First }
                  |> ignore)
          } ]
