namespace Reft.Core

/// <summary>
/// What is trained: a model as a function of parameters, with interventions attached to it. Interventions, low-rank updates,
/// biases and whole weights are all values of it, so that one trainer and one set of losses serve them.
/// </summary>
[<NoEquality; NoComparison>]
type Tuned =
    {
        /// The model that the interventions are attached to. Built once for each batch: what does not depend on the
        /// parameters should be made outside.
        Model: Parameters -> Transformer
        /// The same in training, where the model has noise of its own, such as the dropout of low-rank updates, by the random
        /// state of a batch; <c>None</c> where it has none.
        Noisy: (Rng -> Parameters -> Transformer) option
        /// What preferences are measured against, where training changes the model itself; <c>None</c> where it does not, and
        /// the model without its interventions serves.
        Reference: Transformer option
        /// What is attached to it; may be empty.
        Spec: ReftSpec
        /// What more is known of a batch, such as the activations of other runs that an interchange reads.
        Prepare: Batch -> Context -> Context
    }

/// <summary>Models as functions of what is trained.</summary>
[<RequireQualifiedAccess>]
module Tuned =

    /// <summary>A model as a function of its parameters, e.g. of all its weights, without interventions.</summary>
    let ofModel (model: Parameters -> Transformer) : Tuned =
        { Model = model
          Noisy = None
          Reference = None
          Spec = []
          Prepare = fun _ context -> context }

    /// <summary>A frozen model with interventions.</summary>
    let reft (spec: ReftSpec) (model: Transformer) : Tuned =
        { ofModel (fun _ -> model) with
            Spec = spec }

    /// <summary>The same with more known of each batch.</summary>
    let preparing (prepare: Batch -> Context -> Context) (tuned: Tuned) : Tuned =
        { tuned with
            Prepare = fun batch context -> context |> tuned.Prepare batch |> prepare batch }

    /// <summary>The same by formulas that have derivatives of every order.</summary>
    let smooth (tuned: Tuned) : Tuned =
        tuned |> preparing (fun _ -> Context.withPlainAttention)

    /// <summary>The context of a batch, and the model with everything attached in it.</summary>
    let attach (batch: Batch) (theta: Parameters) (tuned: Tuned) : struct (Context * Transformer) =
        let model = tuned.Model theta
        let context = Batch.context model batch |> tuned.Prepare batch

        let model =
            match context.Random, tuned.Noisy with
            | Some rng, Some noisy -> noisy rng theta
            | _ -> model

        struct (context, model |> Reft.attach tuned.Spec theta context)

    /// <summary>
    /// The context of a batch, and the model without anything that is trained: what preferences are measured against, with no
    /// second model in memory.
    /// </summary>
    let unedited (batch: Batch) (theta: Parameters) (tuned: Tuned) : struct (Context * Transformer) =
        attach
            batch
            theta
            { tuned with
                Spec = []
                Noisy = None
                Model =
                    match tuned.Reference with
                    | Some model -> fun _ -> model
                    | None -> tuned.Model }
