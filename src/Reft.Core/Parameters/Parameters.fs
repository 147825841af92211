namespace Reft.Core

open System
open System.Collections.Generic
open TorchSharp

/// <summary>What training may do with a parameter.</summary>
[<RequireQualifiedAccess>]
type Role =
    /// Trained, and shrunk by weight decay.
    | Decayed
    /// Trained, never decayed: biases, norms, and matrices that an orthonormal map reads.
    | Undecayed
    /// Saved, never trained and never counted: autoencoder weights, reading vectors, mean differences.
    | Constant

/// <summary>A named tensor and its role.</summary>
[<NoEquality; NoComparison>]
type Parameter =
    {
        /// Dotted path, unique among its siblings, e.g. <c>layers.4.block_output.weight</c>.
        Name: string
        /// The value; its shape and dtype are the parameter's.
        Value: Tensor
        /// What training may do with it.
        Role: Role
    }

    /// <summary>Whether training changes it.</summary>
    member parameter.IsTrainable = parameter.Role <> Role.Constant

/// <summary>
/// An immutable, ordered set of named tensors. Training sees the trainable ones as one flat fp32 vector
/// (<see cref="P:Reft.Core.Parameters.Vector"/>), so that an optimizer step is a handful of operations however many
/// interventions there are.
/// </summary>
/// <remarks>
/// A set does not own its tensors: they live in the scope in which they were made, until
/// <see cref="M:Reft.Core.ParametersModule.keep"/> takes them out of it and
/// <see cref="M:Reft.Core.ParametersModule.dispose"/> frees them.
/// </remarks>
[<Sealed; AllowNullLiteral(false)>]
type Parameters private (entries: Parameter[], index: Dictionary<string, int>) =

    let trainable = entries |> Array.filter (fun p -> p.IsTrainable)

    /// <summary>A set of the given entries, in their order.</summary>
    /// <exception cref="T:System.ArgumentException">
    /// Two entries have the same name, or one that would be trained is not of floating-point numbers.
    /// </exception>
    new(entries: Parameter seq) =
        let entries = Seq.toArray entries
        let index = Dictionary<string, int>(entries.Length, StringComparer.Ordinal)

        entries
        |> Array.iteri (fun i p ->
            if not (index.TryAdd(p.Name, i)) then
                invalidArg (nameof entries) $"two parameters are named '{p.Name}': names must be unique"

            // The whole numbers of a quantised matrix mean nothing without their scale, and cannot be trained.
            if p.IsTrainable && not (p.Value.is_floating_point ()) then
                invalidArg
                    (nameof entries)
                    $"'{p.Name}' cannot be trained: expected floating-point numbers, found {p.Value.dtype}. If it is a weight of a model that was loaded as int8, load it as stored")

        Parameters(entries, index)

    /// <summary>The entries, in order.</summary>
    member _.Entries: IReadOnlyList<Parameter> = entries

    /// <summary>The names, in order.</summary>
    member _.Names: string list = [ for p in entries -> p.Name ]

    /// <summary>The number of trainable numbers.</summary>
    member _.TrainableCount: int64 = trainable |> Array.sumBy (fun p -> p.Value.numel ())

    /// <summary>The tensor of a name.</summary>
    /// <exception cref="T:System.Collections.Generic.KeyNotFoundException">There is none: the message lists the names.</exception>
    member _.Item
        with get (name: string): Tensor =
            match index.TryGetValue name with
            | true, i -> entries[i].Value
            | _ ->
                let known = entries |> Seq.map (fun p -> p.Name) |> String.concat ", "
                raise (KeyNotFoundException $"there is no parameter '{name}'; there are: {known}")

    /// <summary>The tensor of a name, if there is one.</summary>
    member _.TryFind(name: string) : Tensor option =
        match index.TryGetValue name with
        | true, i -> Some entries[i].Value
        | _ -> None

    /// <summary>
    /// The trainable entries one after another, as one flat fp32 vector [<see cref="P:Reft.Core.Parameters.TrainableCount"/>].
    /// </summary>
    member _.Vector: Tensor =
        match trainable with
        | [||] -> torch.zeros (0L, dtype = torch.float32)
        | _ ->
            use _ = torch.NewDisposeScope()

            let flat =
                trainable
                |> Array.map (fun p -> p.Value.detach().``to``(torch.float32).reshape(-1L))
                |> ResizeArray

            torch.cat(flat, 0L).MoveToOuterDisposeScope()

    /// <summary>
    /// The same set with its trainable entries replaced by views of <paramref name="vector"/>, so that gradients reach it.
    /// </summary>
    /// <param name="vector">A flat vector in the layout of <see cref="P:Reft.Core.Parameters.Vector"/>.</param>
    /// <exception cref="T:System.ArgumentException">The vector has another length.</exception>
    member set.OfVector(vector: Tensor) : Parameters =
        let expected = set.TrainableCount

        if vector.dim () <> 1L || vector.shape[0] <> expected then
            let found = String.Join("×", vector.shape)
            invalidArg (nameof vector) $"expected a flat vector of {expected} numbers, found shape [{found}]"

        if trainable.Length = 0 then
            set
        else
            // One split: a narrow per entry would cost ten times as much in the backward pass.
            let pieces = vector.split (trainable |> Array.map (fun p -> p.Value.numel ()))

            let mutable next = -1

            entries
            |> Array.map (fun p ->
                if p.IsTrainable then
                    next <- next + 1

                    { p with
                        Value = pieces[next].view p.Value.shape }
                else
                    p)
            |> fun entries -> Parameters(entries, index)

    /// <summary>
    /// Which elements of the flat vector weight decay shrinks: an fp32 vector of ones and zeros.
    /// </summary>
    member _.DecayMask: Tensor =
        match trainable with
        | [||] -> torch.zeros (0L, dtype = torch.float32)
        | _ ->
            use _ = torch.NewDisposeScope()

            trainable
            |> Array.map (fun p ->
                let value = if p.Role = Role.Decayed then 1.0f else 0.0f
                torch.full (p.Value.numel (), held value, dtype = torch.float32))
            |> fun masks -> torch.cat(ResizeArray masks, 0L).MoveToOuterDisposeScope()

    /// <summary>Whether weight decay shrinks anything.</summary>
    member _.HasDecayed = trainable |> Array.exists (fun p -> p.Role = Role.Decayed)

    /// <summary>The entries whose names begin with <paramref name="prefix"/> and a dot, without that beginning.</summary>
    member _.Sub(prefix: string) : Parameters =
        let start = prefix + "."

        entries
        |> Seq.filter (fun p -> p.Name.StartsWith(start, StringComparison.Ordinal))
        |> Seq.map (fun p ->
            { p with
                Name = p.Name.Substring start.Length })
        |> Parameters

/// <summary>Functions over <see cref="T:Reft.Core.Parameters"/>.</summary>
[<RequireQualifiedAccess>]
module Parameters =

    /// <summary>No parameters.</summary>
    let empty = Parameters Seq.empty

    /// <summary>One entry.</summary>
    let entry (role: Role) (name: string) (value: Tensor) : Parameter =
        { Name = name
          Value = value
          Role = role }

    /// <summary>Trainable entries that weight decay leaves alone, from name and value.</summary>
    let ofSeq (entries: (string * Tensor) seq) : Parameters =
        entries
        |> Seq.map (fun (name, value) -> entry Role.Undecayed name value)
        |> Parameters

    /// <summary>Several sets, one after another.</summary>
    let concat (sets: Parameters seq) : Parameters =
        sets |> Seq.collect (fun set -> set.Entries) |> Parameters

    /// <summary>The same entries, their names preceded by <paramref name="prefix"/> and a dot.</summary>
    let prefixed (prefix: string) (set: Parameters) : Parameters =
        set.Entries
        |> Seq.map (fun p -> { p with Name = $"{prefix}.{p.Name}" })
        |> Parameters

    /// <summary>The same names and roles, each value replaced.</summary>
    let map (f: Tensor -> Tensor) (set: Parameters) : Parameters =
        set.Entries |> Seq.map (fun p -> { p with Value = f p.Value }) |> Parameters

    /// <summary>The same entries on a device, such as the model's: <c>Reft.init</c> and <c>Adapter.load</c> make them on the CPU.</summary>
    let onDevice (device: torch.Device) (set: Parameters) : Parameters =
        set |> map (fun value -> value.``to`` device)

    /// <summary>Copies of the values that no scope owns; free them with <see cref="M:Reft.Core.ParametersModule.dispose"/>.</summary>
    let keep (set: Parameters) : Parameters =
        set |> map (fun value -> value.detach().clone().DetachFromDisposeScope())

    /// <summary>Frees every value.</summary>
    let dispose (set: Parameters) : unit =
        for p in set.Entries do
            p.Value.Dispose()
