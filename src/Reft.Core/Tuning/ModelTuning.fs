namespace Reft.Core

open System
open TorchSharp

/// <summary>
/// A way of training the model itself rather than its representations: low-rank updates, biases, all weights, a prefix of
/// keys and values. It is a model as a function of parameters, so that the trainer, the losses and interventions on top of
/// it are those of ReFT.
/// </summary>
[<NoEquality; NoComparison>]
type ModelTuning =
    {
        /// What it is, as data: saved, printed, compared.
        Form: Form
        /// The parameters of a model: names, roles and shapes. Their values are one zero, seen many times, so that they cost
        /// no memory.
        Blank: LoadedModel -> Parameters
        /// Fresh parameters, on the model's device. Names are those of <c>Blank</c>, in its order.
        Init: LoadedModel -> Rng -> Parameters
        /// The model of parameters, which gradients reach. The first argument is taken apart once: keep the function that it
        /// gives.
        Model: LoadedModel -> Parameters -> Transformer
        /// The same with the noise of training, by a random state; <c>None</c> where it has none.
        Noisy: (LoadedModel -> Rng -> Parameters -> Transformer) option
        /// All tensors of the model's folder with what was trained in them, in their dtypes, so that the tuned model is a
        /// model like any other. It throws <c>InvalidOperationException</c> where the family's files have no place for it.
        Merge: LoadedModel -> Parameters -> (string * Tensor) list
    }

/// <summary>A tuned model with its parameters bound, for many batches and decode steps, without gradients.</summary>
[<Sealed>]
type BoundTuning internal (model: Transformer, scope: IDisposable) =

    /// <summary>The model.</summary>
    member _.Model: Transformer = model

    interface IDisposable with
        member _.Dispose() = scope.Dispose()

/// <summary>Using tunings.</summary>
[<RequireQualifiedAccess>]
module ModelTuning =

    /// A parameter of a shape that costs no memory.
    let internal blank (role: Role) (name: string) (shape: int64 list) : Parameter =
        Scope.run (fun () -> torch.zeros(1L, dtype = torch.float32).expand(List.toArray shape))
        |> Parameters.entry role name

    /// The tensors of a model's folder with some of them in place of its own.
    let internal replaced (loaded: LoadedModel) (find: string -> Tensor option) : (string * Tensor) list =
        let parts = ModelParts.ofModel loaded

        for entry, linear in parts.Linears do
            match linear with
            | { Weight = LinearWeight.Int8 _ } ->
                invalidOp
                    $"an int8 model cannot be saved with what was trained: '{entry.Name}' has lost the numbers of its file. Load the model as stored, load the adapter on it and save that"
            | { Updates = _ :: _ } ->
                invalidOp
                    "the model was loaded with a LoRA adapter beside its matrices, which would be lost: load it merged (MergeLora)"
            | _ -> ()

        [ for pair in loaded.Tensors ->
              pair.Key,
              match find pair.Key with
              | Some trained -> trained.detach().``to`` pair.Value.dtype
              | None -> pair.Value ]

    /// <summary>What is trained: the tuned model, with nothing attached.</summary>
    let tuned (loaded: LoadedModel) (tuning: ModelTuning) : Tuned =
        { Tuned.ofModel (tuning.Model loaded) with
            Noisy = tuning.Noisy |> Option.map (fun noisy -> noisy loaded)
            Reference = Some loaded.Model }

    /// <summary>
    /// A tuning together with interventions on the tuned model: their parameters are trained as one set, whose names do not
    /// collide.
    /// </summary>
    let withReft (spec: ReftSpec) (tuned: Tuned) : Tuned = { tuned with Spec = spec }

    /// <summary>Binds parameters once, without gradients.</summary>
    /// <returns>An owner of what binding computed; the parameters must live as long as it does.</returns>
    /// <exception cref="T:System.ArgumentException">A parameter is missing or not finite.</exception>
    let bind (loaded: LoadedModel) (theta: Parameters) (tuning: ModelTuning) : BoundTuning =
        use _ = torch.no_grad ()
        Layout.checkFinite theta
        use scope = torch.NewDisposeScope()
        let model = tuning.Model loaded theta
        // The tensors leave this thread's scopes: the owner frees them, wherever it is disposed.
        let staged = ResizeArray<IDisposable>(scope.DisposablesView)
        scope.Detach staged

        new BoundTuning(
            model,
            { new IDisposable with
                member _.Dispose() =
                    for tensor in staged do
                        tensor.Dispose()

                    staged.Clear() }
        )
