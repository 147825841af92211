namespace Reft.Core

open System
open System.Collections.Concurrent
open System.Collections.Generic
open System.Runtime.CompilerServices
open TorchSharp

/// The names and shapes of the parameters that a spec has on a model, and whether given ones are that.
[<RequireQualifiedAccess>]
module internal Layout =

    // A memo of a pure function: fresh parameters are drawn once for each intervention and width, to see their shapes.
    let private known =
        ConditionalWeakTable<Intervention, ConcurrentDictionary<int, (string * int64[])[]>>()

    let private draw (what: Intervention) (width: int) =
        use _ = torch.no_grad ()
        use _ = torch.NewDisposeScope()

        (what.Init width (Rng.ofSeed 0L)).Entries
        |> Seq.map (fun p -> p.Name, p.Value.shape)
        |> Seq.toArray

    let private ofIntervention (what: Intervention) (width: int) =
        (known.GetValue(what, fun _ -> ConcurrentDictionary())).GetOrAdd(width, (fun width -> draw what width))

    let private shape (sizes: int64[]) = "[" + String.Join(", ", sizes) + "]"

    /// The shape of each parameter by name.
    let shapes (theta: Parameters) : IReadOnlyDictionary<string, int64[]> =
        let shapes = Dictionary<string, int64[]>(StringComparer.Ordinal)

        for p in theta.Entries do
            shapes[p.Name] <- p.Value.shape

        shapes

    /// Refuses parameters that a spec on a model has not.
    let check (config: ModelConfig) (spec: ReftSpec) (found: IReadOnlyDictionary<string, int64[]>) : unit =
        let wrong =
            List.zip spec (ReftSpec.parameterNames spec)
            |> Seq.collect (fun (placement, owners) ->
                let expected = ofIntervention placement.What (config.Width placement.Site)

                owners
                |> Seq.collect (fun owner ->
                    expected
                    |> Seq.choose (fun (name, sizes) ->
                        let name = $"{owner}.{name}"

                        match found.TryGetValue name with
                        | true, actual when actual.AsSpan().SequenceEqual(sizes.AsSpan()) -> None
                        | true, actual -> Some $"{name}: expected {shape sizes}, found {shape actual}"
                        | _ -> Some $"{name}: expected {shape sizes}, found none of that name")))
            |> Seq.truncate 5
            |> Seq.toList

        if not wrong.IsEmpty then
            let list = String.concat "; " wrong
            let names = found.Keys |> Seq.truncate 5 |> String.concat ", "

            invalidArg
                "theta"
                $"the parameters do not fit the spec on this model: {list}. They begin with: {names}. Make them with Reft.init for the same spec and model, or load the adapter that belongs to them."

    /// Refuses parameters that are not finite.
    let checkFinite (theta: Parameters) : unit =
        use _ = torch.NewDisposeScope()

        for p in theta.Entries do
            let finite = p.Value.isfinite ()

            if not (finite.all().item<bool>()) then
                let count = finite.logical_not().sum().item<int64>()

                invalidArg
                    "theta"
                    $"the parameter {p.Name} {shape p.Value.shape}: expected finite numbers, found {count} that are NaN or infinite; load an earlier checkpoint, or train with a lower learning rate"
