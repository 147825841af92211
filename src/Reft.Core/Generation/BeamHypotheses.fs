namespace Reft.Core

/// <summary>An unfinished text of a beam search.</summary>
type Beam =
    {
        /// Its new tokens.
        Ids: int[]
        /// The sum of their log-probabilities; −∞ where there was no token left to follow.
        Score: float32
        /// The number of the beam that it continues.
        Parent: int
    }

/// <summary>A way to continue a beam by one token.</summary>
[<Struct>]
type BeamCandidate =
    {
        /// The number of the beam.
        Parent: int
        /// The token.
        Id: int
        /// The sum of log-probabilities with it.
        Score: float32
    }

/// <summary>What a beam search knows of one row.</summary>
type BeamState =
    {
        /// The texts that are followed, best first.
        Running: Beam list
        /// The best finished ones, at most as many as beams, best first.
        Finished: GeneratedRow list
        /// Whether it is over.
        Done: bool
    }

/// <summary>The bookkeeping of a beam search, as transformers 5 does it: pure functions of one row's state.</summary>
[<RequireQualifiedAccess>]
module BeamHypotheses =

    /// <summary>Before the first token: one beam, so that the first step does not find the same text several times.</summary>
    let start: BeamState =
        { Running = [ { Ids = [||]; Score = 0.0f; Parent = 0 } ]
          Finished = []
          Done = false }

    /// <summary>
    /// How many candidates a step looks at: twice the beams, or more where there are several ends, so that enough
    /// unfinished ones are among them. One beam takes the one token that it would take without a search.
    /// </summary>
    let candidates (ends: int) (beams: BeamSearchOptions) : int =
        if beams.Count = 1 then
            1
        else
            max 2 (1 + ends) * beams.Count

    let private normalised (beams: BeamSearchOptions) (length: int) (score: float32) =
        score / float32 (float length ** beams.LengthPenalty)

    /// <summary>The state after a step.</summary>
    /// <param name="beams">The options.</param>
    /// <param name="most">The most new tokens.</param>
    /// <param name="finish">Why a text with these new tokens is at an end, if it is.</param>
    /// <param name="candidates">
    /// In the order of their scores, or of being drawn. Only those among the first <c>Count</c> may finish.
    /// </param>
    /// <param name="state">The state before.</param>
    let advance
        (beams: BeamSearchOptions)
        (most: int)
        (finish: int[] -> RowEnding option)
        (candidates: BeamCandidate list)
        (state: BeamState)
        : BeamState =
        let parents = List.toArray state.Running
        let length = parents[0].Ids.Length + 1

        let extended =
            candidates
            |> List.map (fun candidate ->
                let ids = Array.append parents[candidate.Parent].Ids [| candidate.Id |]

                { Ids = ids
                  Score = candidate.Score
                  Parent = candidate.Parent },
                finish ids)

        let followed =
            extended
            |> List.choose (fun (beam, reason) -> if reason.IsNone then Some beam else None)
            |> List.sortByDescending (fun beam -> beam.Score)
            |> List.truncate beams.Count

        // Where too few are left to follow, a beam goes on that never wins.
        let dead =
            { Ids = Array.append parents[0].Ids [| 0 |]
              Score = -infinityf
              Parent = 0 }

        let finished =
            [ for beam, reason in List.truncate beams.Count extended do
                  match reason with
                  | Some reason ->
                      { Ids = beam.Ids
                        Finish = reason
                        Score = Some(float (normalised beams length beam.Score)) }
                  | None -> () ]

        let finished =
            state.Finished @ finished
            |> List.sortByDescending (fun row -> row.Score)
            |> List.truncate beams.Count

        let full = finished.Length = beams.Count

        let hopeless =
            match followed with
            | [] -> true
            | best :: _ when full ->
                let length =
                    if beams.EarlyStopping = BeamStopping.Never && beams.LengthPenalty > 0.0 then
                        most
                    else
                        length

                float (normalised beams length best.Score) <= (List.last finished).Score.Value
            | _ -> false

        { Running = followed @ List.replicate (beams.Count - followed.Length) dead
          Finished = finished
          Done = hopeless || full && beams.EarlyStopping = BeamStopping.Full }
