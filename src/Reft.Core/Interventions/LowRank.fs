namespace Reft.Core

open TorchSharp

/// What the low-rank methods share: ranks, latent rows, starts and the options of their forms.
[<RequireQualifiedAccess>]
module internal LowRank =

    /// The names of the parameters, one place for all methods.
    [<Literal>]
    let Weight = "weight"

    [<Literal>]
    let Bias = "bias"

    [<Literal>]
    let Source = "source"

    [<Literal>]
    let Projection = "projection"

    [<Literal>]
    let ProjectionBias = "projection_bias"

    /// Above every model's width, and small enough that a rank alone makes nothing large.
    [<Literal>]
    let private LargestRank = 1_048_576

    /// Refuses a rank below 1 or beyond every width, known when a method is made.
    let checkRank (subject: string) (rank: int) : unit =
        if rank < 1 then
            invalidArg "options" $"{subject} needs a rank of 1 or more, found {rank}"

        if rank > LargestRank then
            invalidArg "options" $"{subject} needs a rank of at most {LargestRank}, found {rank}"

    /// Refuses a rank above the width, known when parameters are drawn.
    let checkWidth (subject: string) (rank: int) (width: int) : unit =
        if rank > width then
            invalidArg
                "options"
                $"{subject}'s rank must not exceed the width it edits: expected a rank of 1 … {width}, found {rank}"

    /// The choice of latent rows of a tensor along a dimension; all of them without a choice.
    let chooser (rank: int) (rows: int list option) : int64 -> Tensor -> Tensor =
        match rows with
        | None -> fun _ tensor -> tensor
        | Some rows ->
            if rows |> List.exists (fun row -> row < 0 || row >= rank) then
                invalidArg (nameof rows) $"expected rows of 0 … {rank - 1}, found %A{rows}"

            let host = rows |> List.map int64 |> List.toArray
            fun dim tensor -> tensor.index_select (dim, torch.tensor(host, dtype = torch.int64).``to`` tensor.device)

    /// Δ = U (D h + b), with U [d, r], D [r, d] and b [r].
    let twoStage (down: Tensor) (bias: Tensor) (up: Tensor) : Edit =
        Edit.Delta(fun _ h -> torch.nn.functional.linear (torch.nn.functional.linear (h, down, bias), up))

    /// Δ = U act(W h + b), with U [d, r], W [r, d] and b [r].
    let through (activation: Activation) (weight: Tensor) (bias: Tensor) (up: Tensor) : Edit =
        if activation.Name = Activation.linear.Name then
            twoStage weight bias up
        else
            Edit.Delta(fun _ h ->
                let inner = torch.nn.functional.linear (h, weight, bias) |> activation.Apply
                torch.nn.functional.linear (inner, up))

    /// W and b as torch.nn.Linear draws them, from the streams 1 and 2 of <paramref name="rng"/>.
    let linear (weight: string) (bias: string) (rank: int) (width: int) (rng: Rng) : Parameter list =
        [ Parameters.entry Role.Decayed weight (Start.linear width [ int64 rank; int64 width ] (Rng.fork 1 rng))
          Parameters.entry Role.Undecayed bias (Start.linear width [ int64 rank ] (Rng.fork 2 rng)) ]

    /// W = 0 and b = 0.
    let zeros (rank: int) (width: int) : Parameter list =
        [ Parameters.entry Role.Decayed Weight (torch.zeros (int64 rank, int64 width, dtype = torch.float32))
          Parameters.entry Role.Undecayed Bias (torch.zeros (int64 rank, dtype = torch.float32)) ]

    /// Refuses the identity start of methods that have it under a linear activation only.
    let onlyLinearIdentity (subject: string) (start: Start) (activation: Activation) : unit =
        if start = Start.Identity && activation.Name <> Activation.linear.Name then
            invalidArg
                "options"
                $"{subject} starts at identity under the activation linear only, found {activation.Name}: gate it with a scalar gate that starts at 0, or start as pyreft does"

    /// Refuses the identity start W = 0, b = 0 where act(0) is not 0, or where act′(0) is 0 and nothing would ever be learnt.
    let onlyZeroIdentity (subject: string) (start: Start) (activation: Activation) : unit =
        if start = Start.Identity then
            Native.load ()
            use _ = torch.NewDisposeScope()

            let value, slope = dsharp.fdiff activation.Apply (torch.zeros ([||]: int64[]))

            let value, slope = value.item<float32>(), slope.item<float32>()

            if value <> 0.0f || slope = 0.0f then
                invalidArg
                    "options"
                    $"{subject} starts at identity from W = 0 and b = 0: expected an activation that is 0 at 0 and not flat there, found {activation.Name} with the value {value} and the slope {slope}; gate it with a scalar gate that starts at 0, or start as pyreft does"

    /// The options of a form that most of them have.
    let activation subject options =
        options |> FormOptions.text subject "activation" "linear" |> Activation.ofName

    let orthonormal subject options =
        options |> FormOptions.text subject "orthonormal" "qr" |> Orthonormal.ofName

    let start subject options =
        options |> FormOptions.text subject "start" "pyreft" |> Start.ofName

    /// The same as options of a form: only what is not the default.
    let activationOption (activation: Activation) =
        [ if activation.Name <> Activation.linear.Name then
              "activation", FormOption.Text activation.Name ]

    let orthonormalOption (map: OrthonormalMap) =
        [ if map.Name <> Orthonormal.qr.Name then
              "orthonormal", FormOption.Text map.Name ]

    let startOption (start: Start) =
        [ if start <> Start.Pyreft then
              "start", FormOption.Text(Start.name start) ]

    /// A method whose latent rows can be chosen; <paramref name="bind"/> gets the choice, or none for all.
    let create
        (form: Form)
        (init: int -> Rng -> Parameters)
        (bind: int list option -> Parameters -> Edit)
        : Intervention =
        { Form = form
          Init = init
          Bind = bind None
          BindRows = Some(Some >> bind)
          Parts = [] }
