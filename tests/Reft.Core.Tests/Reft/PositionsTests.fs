module Reft.Core.Tests.Reft.PositionsTests

open Expecto
open FsCheck
open Reft.Core
open Reft.Core.Syntax

let private tokens rule count positions =
    positions
    |> Positions.resolve (Some rule) Tying.Groups count
    |> List.map (fun struct (group, token) -> group, token)
    |> List.sort

/// f p + l s as (prefix tokens, suffix tokens).
let private split rule count p s =
    let resolved = tokens rule count (first p + last s)
    resolved |> List.filter (fst >> (=) 0) |> List.map snd, resolved |> List.filter (fst >> (=) 1) |> List.map snd

[<Tests>]
let tests =
    testList
        "Positions"
        [ test "first and last of a long prompt" {
              Expect.equal (split ShortPrompt.Paper 20 2 3) ([ 0; 1 ], [ 17; 18; 19 ]) "paper"
              Expect.equal (split ShortPrompt.Pyreft 20 2 3) ([ 0; 1 ], [ 17; 18; 19 ]) "pyreft"
          }
          test "short prompts, by the paper's rule: every token is edited once" {
              Expect.equal (split ShortPrompt.Paper 9 7 7) ([ 0..3 ], [ 4..8 ]) "odd: the suffix takes the middle token"
              Expect.equal (split ShortPrompt.Paper 1 1 1) ([], [ 0 ]) "one token"
              Expect.equal (split ShortPrompt.Paper 0 1 1) ([], []) "no token"
              Expect.equal (tokens ShortPrompt.Paper 4 (first 3)) [ 0, 0; 0, 1; 0, 2 ] "a prefix alone keeps its length"
          }
          test "short prompts, by pyreft's rule: halves, always, the middle token of an odd prompt left alone" {
              Expect.equal (split ShortPrompt.Pyreft 9 7 7) ([ 0..3 ], [ 5..8 ]) "odd"
              Expect.equal (split ShortPrompt.Pyreft 1 1 1) ([], []) "one token"
              Expect.equal (tokens ShortPrompt.Pyreft 4 (first 3)) [ 0, 0; 0, 1 ] "a prefix alone is halved too"
          }
          testProperty
              "no rule edits a token twice or leaves the prompt"
              (fun (PositiveInt p) (PositiveInt s) (NonNegativeInt n) ->
                  [ ShortPrompt.Paper; ShortPrompt.Pyreft ]
                  |> List.forall (fun rule ->
                      let prefix, suffix = split rule n p s
                      let all = prefix @ suffix

                      List.distinct all = all
                      && all |> List.forall (fun token -> token >= 0 && token < n)))
          testProperty
              "the paper's rule edits every token of a prompt shorter than p + s"
              (fun (PositiveInt p) (PositiveInt s) (PositiveInt n) ->
                  let prefix, suffix = split ShortPrompt.Paper n p s

                  n >= p + s
                  || min p (n / 2) + min s ((n + 1) / 2) = prefix.Length + suffix.Length)
          testProperty "parse reads what is printed" (fun (PositiveInt a) (NonNegativeInt b) (PositiveInt c) ->
              [ first a
                last a
                first a + last c
                span b c
                every a
                all
                Positions.Explicit [ b; b + c ]
                every a + span b c + first c ]
              |> List.forall (fun positions -> Positions.parse (string positions) = positions))
          test "numbers that no context has are refused, not counted" {
              for text in [ "span1:2147483647"; "f2147483647+l2147483647"; "at2147483647" ] do
                  Expect.throwsT<System.ArgumentException> (fun () -> Positions.parse text |> ignore) text

              Expect.throwsT<System.ArgumentException>
                  (fun () -> Positions.groups Tying.EachPosition (first 500_000) |> ignore)
                  "half a million sets of parameters"
          }
          test "a position keeps its parameters in a prompt that lacks an earlier one" {
              let slots count =
                  Positions.Explicit [ 50; 3 ]
                  |> Positions.resolve (Some ShortPrompt.Paper) Tying.EachPosition count

              Expect.equal (slots 100) [ struct (0, 50); struct (1, 3) ] "long"
              Expect.equal (slots 10) [ struct (1, 3) ] "short"
          }
          test "what is no position is refused" {
              for text in [ ""; "7"; "f"; "f0"; "l-1"; "f7+"; "x3"; "span3"; "at"; "f7l7"; "every0" ] do
                  Expect.throwsT<System.ArgumentException> (fun () -> Positions.parse text |> ignore) text
          } ]
