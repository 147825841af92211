namespace Reft.Core

open TorchSharp

/// <summary>Which parameters of a classification head are trained with the interventions.</summary>
[<RequireQualifiedAccess>]
type HeadTraining =
    /// None.
    | Frozen
    /// Those that are no layer of the base model, as pyreft's <c>allow_cls_grad</c> does; a layer that had to be drawn is
    /// trained too.
    | Classifier
    /// All of them, BERT's pooler included.
    | Whole

/// <summary>A classification head with its task and its first parameters; a pure function of parameters.</summary>
[<NoEquality; NoComparison>]
type Classifier =
    {
        /// What it predicts.
        Task: SequenceTask
        /// How it computes.
        Head: SequenceHead
        /// Its parameters, fp32, as <c>head.NAME.weight</c> by their names in checkpoints; constants where they are not trained.
        Parameters: Parameters
    }

/// <summary>Classification heads.</summary>
[<RequireQualifiedAccess>]
module Classifier =

    /// What its parameters begin with beside the interventions': no site and no shared name does.
    [<Literal>]
    let private Prefix = "head"

    /// The deviation of fresh weights: transformers' initializer_range.
    [<Literal>]
    let private Deviation = 0.02

    /// <summary>
    /// A head whose tensors are those that are found, or else drawn from N(0, 0.02), biases 0, as by transformers. They are
    /// on the CPU, as those of <c>Reft.init</c> are.
    /// </summary>
    /// <param name="training">Which of its parameters are trained.</param>
    /// <param name="task">What it predicts.</param>
    /// <param name="hidden">The model's width.</param>
    /// <param name="head">How it computes.</param>
    /// <param name="find">A tensor by its name in checkpoints.</param>
    /// <param name="rng">What is drawn from.</param>
    /// <exception cref="T:System.ArgumentException">A map had to be drawn and is not to be trained.</exception>
    let create
        (training: HeadTraining)
        (task: SequenceTask)
        (hidden: int)
        (head: SequenceHead)
        (find: string -> Tensor option)
        (rng: Rng)
        : Classifier =
        Native.load ()
        use _ = torch.no_grad ()

        let ofMap number (map: HeadMap) =
            let shapes = SequenceHead.shapes hidden task.Labels.Length head map
            let found = shapes |> List.map (fun (name, _) -> find name)
            let drawn = found |> List.exists Option.isNone

            if drawn && training = HeadTraining.Frozen then
                invalidArg
                    (nameof training)
                    $"the checkpoint has no '{map.Name}', so it is drawn at random, and a random head must be trained: expected a head that is trained"

            let trained =
                match training with
                | HeadTraining.Frozen -> false
                | HeadTraining.Classifier -> drawn || not map.OfBase
                | HeadTraining.Whole -> true

            List.zip shapes found
            |> List.map (fun ((name, shape), found) ->
                let isWeight = shape.Length > 1

                let value =
                    match found with
                    | Some tensor when not drawn ->
                        Scope.run (fun () -> tensor.detach().cpu().``to``(torch.float32).clone())
                    | _ when isWeight ->
                        Scope.run (fun () -> Rng.normal shape (Rng.fork number rng) *. float32 Deviation)
                    | _ -> torch.zeros (List.toArray shape, dtype = torch.float32)

                let role =
                    if not trained then Role.Constant
                    elif isWeight then Role.Decayed
                    else Role.Undecayed

                Parameters.entry role name value)

        { Task = task
          Head = head
          Parameters =
            head.Maps
            |> List.mapi ofMap
            |> List.concat
            |> Parameters
            |> Parameters.prefixed Prefix }

    let private tensorsOf (map: HeadMap) (classifier: Classifier) =
        classifier.Parameters.Entries
        |> Seq.filter (fun p -> p.Name = $"{Prefix}.{map.Name}.weight" || p.Name = $"{Prefix}.{map.Name}.bias")

    /// <summary>The names of the maps that are trained.</summary>
    let trainedMaps (classifier: Classifier) : string list =
        classifier.Head.Maps
        |> List.filter (fun map -> classifier |> tensorsOf map |> Seq.exists (fun p -> p.IsTrainable))
        |> List.map (fun map -> map.Name)

    /// What a saved head has: its names, shapes and roles. Its values are one zero, seen many times, so that a file that lies
    /// about its labels costs no memory.
    let internal blank (task: SequenceTask) (hidden: int) (head: SequenceHead) (trained: string list) : Classifier =
        let entry (map: HeadMap) (name, shape: int64 list) =
            let role =
                if not (List.contains map.Name trained) then Role.Constant
                elif shape.Length > 1 then Role.Decayed
                else Role.Undecayed

            Scope.run (fun () -> torch.zeros(1L, dtype = torch.float32).expand(List.toArray shape))
            |> Parameters.entry role $"{Prefix}.{name}"

        { Task = task
          Head = head
          Parameters =
            head.Maps
            |> List.collect (fun map -> SequenceHead.shapes hidden task.Labels.Length head map |> List.map (entry map))
            |> Parameters }

    /// <summary>The same head with other values of its parameters, e.g. those that training reached.</summary>
    /// <param name="theta">A set that has them, perhaps among others.</param>
    /// <param name="classifier">The head.</param>
    let withParameters (theta: Parameters) (classifier: Classifier) : Classifier =
        { classifier with
            Parameters =
                classifier.Parameters.Entries
                |> Seq.map (fun p -> { p with Value = theta[p.Name] })
                |> Parameters }

    /// The hidden state that the head reads of each example. [batch, seq, hidden] → [examples, hidden]
    let private picked (head: SequenceHead) (context: Context) (hidden: Tensor) =
        let flat =
            context.Spans
            |> Array.map (fun span ->
                let token =
                    match head.Token with
                    | HeadToken.First -> 0
                    | HeadToken.Last -> span.Length - 1

                int64 span.Row * int64 context.Length
                + int64 (span.Column token - context.Offset))

        let rows = (torch.tensor flat).``to`` hidden.device
        hidden.reshape(-1L, hidden.shape[2]).index_select(0L, rows)

    let private apply (theta: Parameters) (map: HeadMap) (x: Tensor) =
        Linear.apply
            (Linear.dense
                (if map.Biased then
                     Some theta[$"{Prefix}.{map.Name}.bias"]
                 else
                     None)
                theta[$"{Prefix}.{map.Name}.weight"])
            x

    let private ofRows (theta: Parameters) (head: SequenceHead) (rows: Tensor) =
        let rows = rows.``to`` torch.float32

        match head.Dense with
        | Some dense -> (apply theta dense rows).tanh()
        | None -> rows
        |> apply theta head.Output

    /// <summary>Hidden states after the model's final norm → logits, fp32. [batch, seq, hidden] → [examples, labels]</summary>
    /// <param name="head">How the head computes.</param>
    /// <param name="theta">The head's parameters, perhaps among others.</param>
    /// <param name="context">The run that gave the hidden states.</param>
    /// <param name="hidden">The hidden states.</param>
    let logits (head: SequenceHead) (theta: Parameters) (context: Context) (hidden: Tensor) : Tensor =
        Scope.run (fun () -> hidden |> picked head context |> ofRows theta head)

    /// <summary>The residual stream after a model's last block → logits, fp32. [batch, seq, hidden] → [examples, labels]</summary>
    /// <remarks>The final norm sees the tokens that the head reads, and no other.</remarks>
    let ofResidual
        (head: SequenceHead)
        (theta: Parameters)
        (context: Context)
        (model: Transformer)
        (residual: Tensor)
        : Tensor =
        Scope.run (fun () -> residual |> picked head context |> model.Norm |> ofRows theta head)

    /// <summary>The logits of a model's rows, fp32. [batch, seq] → [examples, labels]</summary>
    /// <remarks>The final norm sees the tokens that the head reads, and no other.</remarks>
    let run (head: SequenceHead) (theta: Parameters) (context: Context) (ids: Tensor) (model: Transformer) : Tensor =
        Scope.run (fun () -> model |> Transformer.residual context ids |> ofResidual head theta context model)
