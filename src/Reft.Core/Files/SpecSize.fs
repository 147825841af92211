namespace Reft.Core

open System
open System.Collections.Generic
open TorchSharp

/// How many numbers the parameters of a spec from a file would be, without making more of them than a limit: a few bytes
/// of JSON can ask for more than any memory.
[<RequireQualifiedAccess>]
module internal SpecSize =

    /// The options that are sides of matrices whose other side is the width.
    let private sides = [ "rank"; "experts"; "components"; "size" ]

    /// A method's parameters are no fewer than this.
    let private least (width: int) (options: (string * FormOption) list) =
        options
        |> List.fold
            (fun total (key, value) ->
                match value with
                | FormOption.Int n when n > 0 && List.contains key sides -> total * float n
                | _ -> total)
            (float width)

    let private draw (registry: Registry) (width: int) (form: Form) =
        use _ = torch.no_grad ()
        use _ = torch.NewDisposeScope()

        ((Registry.intervention registry form).Init width (Rng.ofSeed 0L)).Entries
        |> Seq.sumBy (fun p -> p.Value.numel ())

    /// <summary>Whether a spec has at most so many numbers on a model, constants included.</summary>
    /// <exception cref="T:System.ArgumentException">A method refuses the width.</exception>
    let isAtMost (limit: int64) (registry: Registry) (config: ModelConfig) (spec: ReftSpec) : bool =
        let known = Dictionary<struct (Form * int), int64>()

        // More than the limit is the limit and one.
        let add (a: int64) (b: int64) =
            if a > limit || b > limit - a then limit + 1L else a + b

        let leaf width form =
            match form with
            | Form.Method(_, options) when
                List.exists (fst >> fun key -> List.contains key sides) options
                && least width options > float limit
                ->
                limit + 1L
            | _ ->
                match known.TryGetValue(struct (form, width)) with
                | true, count -> count
                | _ ->
                    let count = draw registry width form
                    known.Add(struct (form, width), count)
                    count

        /// The numbers of a form, added to those before it; what follows the limit is not looked at.
        let rec count width (total: int64) form =
            if total > limit then
                total
            else
                match form with
                | Form.Zero -> total
                | Form.Sum parts
                | Form.Then parts -> parts |> List.fold (count width) total
                | Form.Scale(_, edit)
                | Form.Dropout(_, _, edit)
                | Form.Subspace(_, edit) -> count width total edit
                | Form.Gate(gate, edit) -> count width (count width total gate) edit
                | Form.Method _
                | Form.Custom _ -> leaf width form |> add total

        /// The number of parameter sets, which positions with sets of their own can make a long list.
        let sets =
            spec
            |> List.fold
                (fun total placement ->
                    if total > limit then
                        total
                    else
                        Positions.groups placement.Tie placement.Where
                        |> List.length
                        |> int64
                        |> add total)
                0L

        let owned () =
            List.zip spec (ReftSpec.parameterNames spec)
            |> List.collect (fun (placement, names) -> names |> List.map (fun name -> name, placement))
            |> List.distinctBy fst

        sets <= limit
        && (owned ()
            |> List.fold (fun total (_, placement) -> count (config.Width placement.Site) total placement.What.Form) 0L)
           <= limit
