namespace Reft.Core

open System
open System.Globalization
open System.IO
open System.Text.RegularExpressions

/// <summary>What a run goes on from.</summary>
[<NoEquality; NoComparison>]
type FoundCheckpoint =
    {
        /// The file.
        Path: string
        /// What it holds; its state belongs to the caller.
        Checkpoint: TrainingCheckpoint
        /// Newer files that are damaged, each with the reason.
        Damaged: string list
    }

/// <summary>The checkpoints of one run, <c>checkpoint-00000120.safetensors</c> after step 120 and so on, in a folder of their own.</summary>
[<RequireQualifiedAccess>]
module CheckpointFolder =

    let private namePattern =
        Regex(@"^checkpoint-([0-9]{8,10})\.safetensors$", RegexOptions.CultureInvariant)

    /// What a process leaves that is killed while it saves.
    let private temporaryPattern =
        Regex(@"^\.[0-9a-f]{32}\.tmp$", RegexOptions.CultureInvariant)

    let private files (folder: string) (pattern: Regex) =
        if Directory.Exists folder then
            [ for path in Directory.EnumerateFiles folder do
                  let found = pattern.Match(Path.GetFileName path |> string)

                  if found.Success then
                      path, found ]
        else
            []

    /// <summary>The checkpoints that are there, by the step after which each was saved, newest first; whether they are valid is not looked at.</summary>
    let list (folder: string) : (int * string) list =
        files folder namePattern
        |> List.choose (fun (path, found) ->
            match Int32.TryParse(found.Groups[1].Value, NumberStyles.None, CultureInfo.InvariantCulture) with
            | true, step -> Some(step, path)
            | _ -> None)
        |> List.sortByDescending fst

    /// <summary>Removes what processes left that were killed while they saved.</summary>
    let removeTemporaries (folder: string) : unit =
        for path, _ in files folder temporaryPattern do
            File.Delete path

    /// <summary>Removes every checkpoint, and the folder if nothing else is in it.</summary>
    let clear (folder: string) : unit =
        removeTemporaries folder

        // The oldest first: what is left by a process that is killed meanwhile still stands for the whole run.
        for _, path in list folder |> List.rev do
            File.Delete path

        if
            Directory.Exists folder
            && Seq.isEmpty (Directory.EnumerateFileSystemEntries folder)
        then
            Directory.Delete folder

    /// <summary>
    /// Saves a checkpoint, and then removes all but the newest ones. Those of later steps go too: the run went on from an
    /// earlier one because they were damaged.
    /// </summary>
    /// <param name="keep">How many stay, this one included.</param>
    /// <param name="folder">Made if need be.</param>
    /// <param name="checkpoint">What is saved.</param>
    /// <exception cref="T:System.IO.IOException">Writing failed, e.g. because the disk is full: the older ones are intact.</exception>
    let save (keep: int) (folder: string) (checkpoint: TrainingCheckpoint) : unit =
        let step = checkpoint.State.Taken

        let name =
            String.Format(CultureInfo.InvariantCulture, "checkpoint-{0:D8}.safetensors", step)

        TrainingCheckpoint.write (Path.Combine(folder, name)) checkpoint
        let later, own = list folder |> List.partition (fun (other, _) -> other > step)

        for _, path in later @ List.skip (min keep own.Length) own do
            File.Delete path

    /// <summary>The newest checkpoint that is not damaged, if there is any checkpoint at all.</summary>
    /// <param name="identity">What the run is.</param>
    /// <param name="start">Its start.</param>
    /// <param name="folder">Where its checkpoints are.</param>
    /// <exception cref="T:System.IO.InvalidDataException">
    /// It is of another run: the message lists what differs; or all are damaged: the message says how.
    /// </exception>
    let newest (identity: RunFacts) (start: TrainState) (folder: string) : FoundCheckpoint option =
        let rec search damaged remaining =
            match remaining with
            | [] when List.isEmpty damaged -> None
            | [] ->
                let reasons = damaged |> List.rev |> String.concat "\n"

                raise (
                    InvalidDataException
                        $"no checkpoint in {folder} can be read; remove the folder to start afresh:\n{reasons}"
                )
            | (_, path) :: older ->
                let read =
                    try
                        TrainingCheckpoint.read identity start path |> Choice1Of2
                    with :? InvalidDataException as error ->
                        Choice2Of2 error.Message

                match read with
                | Choice1Of2(Ok checkpoint) ->
                    Some
                        { Path = path
                          Checkpoint = checkpoint
                          Damaged = List.rev damaged }
                | Choice1Of2(Error differences) ->
                    let reasons = String.concat "; " differences

                    raise (
                        InvalidDataException
                            $"{path} is of another run, so that this one cannot go on from it: {reasons}. Give what it was started with, or remove the folder to start afresh"
                    )
                | Choice2Of2 reason -> search (reason :: damaged) older

        list folder |> search []

    /// <summary>
    /// Readies the folder for a run from the start: the checkpoints of one that ended are removed.
    /// </summary>
    /// <exception cref="T:System.IO.IOException">There are checkpoints of a run that is not at its end, or damaged ones.</exception>
    let startAfresh (folder: string) : unit =
        let refuse (what: string) =
            raise (
                IOException
                    $"{folder} holds {what}: go on with it (--resume; Resume = true), or remove the folder to start afresh"
            )

        match list folder with
        | [] -> ()
        | (_, newest) :: _ ->
            let summary =
                try
                    Some(TrainingCheckpoint.summarize newest)
                with :? InvalidDataException ->
                    None

            match summary with
            | Some summary when summary.Ended -> ()
            | Some summary -> refuse $"a run that was broken off after step {summary.Taken} of {summary.TotalSteps}"
            | None -> refuse $"the checkpoints of a run, of which {Path.GetFileName newest} cannot be read"

        clear folder
