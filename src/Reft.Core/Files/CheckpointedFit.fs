namespace Reft.Core

open System
open System.Diagnostics
open System.IO
open System.Threading

/// <summary>Where and how often a run is saved, and what it is.</summary>
type RunCheckpoints =
    {
        /// The folder, which is for the checkpoints of this run alone.
        Folder: string
        /// After every so many steps one is saved; and one at the end, or when the run is cancelled.
        Every: int
        /// How many stay.
        Keep: int
        /// Whether the run goes on from the newest one, if there is any.
        Resume: bool
        /// What the run is; see <see cref="M:Reft.Core.RunFactsModule.ofRun"/>.
        Identity: RunFacts
        /// Where it computes; see <see cref="M:Reft.Core.RunFactsModule.environment"/>.
        Environment: RunFacts
    }

/// <summary>From where a run goes on.</summary>
type Resumption =
    {
        /// The file.
        Path: string
        /// The steps that were taken before.
        Steps: RecordedStep list
        /// Their number.
        Taken: int
        /// The steps of the whole run.
        TotalSteps: int
        /// Whether nothing is left to do.
        Ended: bool
        /// What the user should know: newer files that are damaged, and what has changed about the machine.
        Warnings: string list
    }

/// <summary>How a run with checkpoints ended.</summary>
[<NoEquality; NoComparison>]
type RecordedFit =
    {
        /// Where it stood; the caller's. Its parameters are the best, where a metric is monitored.
        State: FitState
        /// Every step of the run, also those before a break.
        Steps: RecordedStep list
        /// Why it ended.
        End: FitEnd
        /// From where it went on, if it did.
        Resumed: Resumption option
    }

/// <summary>Runs that survive their process.</summary>
[<RequireQualifiedAccess>]
module CheckpointedFit =

    /// Has the folder from when there is one: a run that fails before it saves anything makes none.
    type private Guard() =
        let mutable entered: IDisposable option = None

        member _.Enter(folder: string) : unit =
            if entered.IsNone then
                entered <- Some(CheckpointFolder.enter folder)

        interface IDisposable with
            member _.Dispose() = entered |> Option.iter _.Dispose()

    let private resumption (checkpoints: RunCheckpoints) (found: FoundCheckpoint) : Resumption =
        { Path = found.Path
          Steps = found.Checkpoint.Steps
          Taken = found.Checkpoint.State.Taken
          TotalSteps =
            found.Checkpoint.Steps
            |> List.tryLast
            |> Option.map _.Progress.TotalSteps
            |> Option.defaultValue 0
          Ended = found.Checkpoint.Ended
          Warnings =
            [ for reason in found.Damaged do
                  $"a newer checkpoint cannot be read, so the one before it is used: {reason}"

              match RunFacts.differences found.Checkpoint.Environment checkpoints.Environment with
              | [] -> ()
              | differences ->
                  let what = String.concat "; " differences

                  $"this is not the machine, or the set-up, on which the checkpoint was written, so that numbers may differ from those of an unbroken run: {what}" ] }

    let private find (checkpoints: RunCheckpoints) (start: TrainState) =
        if checkpoints.Resume then
            CheckpointFolder.removeTemporaries checkpoints.Folder
            CheckpointFolder.newest checkpoints.Identity start checkpoints.Folder
        else
            CheckpointFolder.startAfresh checkpoints.Folder
            None

    /// <summary>
    /// Runs a task, saving checkpoints on the way, or goes on with it from the newest one: bit for bit as if there had been no
    /// break, on the same machine. A run that had ended gives its result again without a step.
    /// </summary>
    /// <param name="checkpoints">Where and how often; <c>None</c> saves nothing.</param>
    /// <param name="options">The run.</param>
    /// <param name="task">What it learns.</param>
    /// <param name="resumed">Called before the first step of a run that goes on; the state is valid within the call.</param>
    /// <param name="report">Called after each step, before it is saved, on the training thread; the state is valid within the call.</param>
    /// <param name="cancel">Looked at before each step.</param>
    /// <param name="start">Where it starts; it stays as it was.</param>
    /// <exception cref="T:System.ArgumentException">An option is out of range, the dataset is empty or a row has nothing to learn from.</exception>
    /// <exception cref="T:System.IO.InvalidDataException">The checkpoints are of another run, or all are damaged.</exception>
    /// <exception cref="T:System.IO.IOException">
    /// A checkpoint cannot be written; another run is using the folder; or it holds a run that is not at its end, and this one is
    /// not to go on with it.
    /// </exception>
    /// <exception cref="T:Reft.Core.TrainingDivergedException">The loss or the gradient is not finite.</exception>
    let run
        (checkpoints: RunCheckpoints option)
        (options: FitOptions)
        (task: FitTask)
        (resumed: Resumption -> FitState -> unit)
        (report: RecordedStep -> FitState -> unit)
        (cancel: CancellationToken)
        (start: TrainState)
        : RecordedFit =
        checkpoints
        |> Option.iter (fun c ->
            if c.Every < 1 || c.Keep < 1 then
                invalidArg (nameof checkpoints) $"expected Every ≥ 1 and Keep ≥ 1, found {c.Every} and {c.Keep}")

        // Before checkpoints are removed, the options and the data must be sound.
        Fit.validate options task
        use guard = new Guard()

        checkpoints
        |> Option.iter (fun c ->
            if Directory.Exists c.Folder then
                guard.Enter c.Folder)

        let found = checkpoints |> Option.bind (fun c -> find c start)
        let steps = ResizeArray<RecordedStep>()
        found |> Option.iter (fun found -> steps.AddRange found.Checkpoint.Steps)

        let behind =
            if steps.Count = 0 then
                0.0
            else
                steps[steps.Count - 1].Seconds

        let clock = Stopwatch.StartNew()

        let save ended (state: FitState) =
            checkpoints
            |> Option.iter (fun c ->
                guard.Enter c.Folder

                CheckpointFolder.save
                    c.Keep
                    c.Folder
                    { State = state
                      Steps = List.ofSeq steps
                      Ended = ended
                      Identity = c.Identity
                      Environment = c.Environment })

        let mutable saved =
            found
            |> Option.map (fun found -> struct (found.Checkpoint.State.Taken, found.Checkpoint.Ended))
            |> Option.defaultValue (struct (0, false))

        let saveOnce ended (state: FitState) =
            if saved <> struct (state.Taken, ended) then
                save ended state
                saved <- struct (state.Taken, ended)

        let observe (progress: FitProgress) (state: FitState) =
            let step =
                { Progress = progress
                  Seconds = behind + clock.Elapsed.TotalSeconds }

            steps.Add step

            // Told before it is saved: what a log has beyond the newest checkpoint is dropped when the run goes on, and what it
            // lacked would be lost.
            report step state

            match checkpoints with
            | Some c when state.Taken % c.Every = 0 -> saveOnce false state
            | _ -> ()

        let state =
            match found with
            | Some found -> found.Checkpoint.State
            | None -> FitState.start start

        let resumption = Option.map2 resumption checkpoints found

        try
            resumption |> Option.iter (fun resumption -> resumed resumption state)
        with _ ->
            FitState.dispose state
            reraise ()

        let result = Fit.resume options task observe cancel state

        try
            saveOnce (result.End <> FitEnd.Cancelled) result.State
        with _ ->
            FitState.dispose result.State
            reraise ()

        { State = result.State
          Steps = List.ofSeq steps
          End = result.End
          Resumed = resumption }
