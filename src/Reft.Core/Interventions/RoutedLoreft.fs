namespace Reft.Core

open TorchSharp

/// <summary>How a router weighs the subspaces of <see cref="T:Reft.Core.RoutedLoreftModule"/>.</summary>
[<RequireQualifiedAccess>]
type Router =
    /// Each by itself: several may act, or none.
    | Sigmoid
    /// Against each other: the weights add up to 1.
    | Softmax

/// <summary>
/// Several LoReFTs in mutually orthogonal subspaces, weighed by a router that reads h (compositional subspace ReFT,
/// CS-ReFT, arXiv 2503.10617): Φ(h) = h + Σᵢ αᵢ(h) Rᵢᵀ(Wᵢ h + bᵢ − Rᵢ h), where all Rᵢ are blocks of one matrix with
/// orthonormal rows and α(h) = σ(V h + c), or its softmax.
/// </summary>
/// <remarks>
/// For several tasks in one adapter without saying which is which: the subspaces cannot disturb each other. Where examples
/// say what they are, <see cref="T:Reft.Core.PartitionedLoreftModule"/> needs no router; for one task use LoReFT.
/// </remarks>
[<RequireQualifiedAccess>]
module RoutedLoreft =

    let private subject = "routed_loreft"

    let private names = [ Router.Sigmoid, "sigmoid"; Router.Softmax, "softmax" ]

    let private bind (map: OrthonormalMap) rank router (theta: Parameters) =
        let columns = map.Apply theta // [d, k·r]
        let down = theta[LowRank.Weight] - columns.t ()
        let bias = theta[LowRank.Bias]
        let routerWeight, routerBias = theta["router_weight"], theta["router_bias"] // [k, d], [k]

        Edit.Delta(fun _ h ->
            let scores = torch.nn.functional.linear (h, routerWeight, routerBias)

            let weights =
                match router with
                | Router.Sigmoid -> scores.sigmoid ()
                | Router.Softmax -> scores.softmax -1L

            let latent = torch.nn.functional.linear (h, down, bias) // [n, k·r]
            let experts = weights.shape[1]

            let weighed =
                (latent.view (-1L, experts, int64 rank) * weights.unsqueeze 2L).reshape(-1L, experts * int64 rank)

            torch.nn.functional.linear (weighed, columns))

    /// <summary>Routed LoReFT.</summary>
    /// <param name="router">How the subspaces are weighed.</param>
    /// <param name="rank">The rank of each.</param>
    /// <param name="experts">How many there are.</param>
    /// <exception cref="T:System.ArgumentException">A number is not positive.</exception>
    let create (router: Router) (rank: int) (experts: int) : Intervention =
        LowRank.checkRank subject rank

        if experts < 1 then
            invalidArg (nameof experts) $"{subject} needs 1 subspace or more, found {experts}"

        let map = Orthonormal.qr
        let total = int64 rank * int64 experts

        Intervention.create
            (Form.Method(
                subject,
                [ "rank", FormOption.Int rank
                  "experts", FormOption.Int experts
                  if router <> Router.Sigmoid then
                      "router", FormOption.Text(names |> List.find (fst >> (=) router) |> snd) ]
            ))
            (fun width rng ->
                if total > int64 width then
                    invalidArg
                        (nameof rank)
                        $"{subject}'s subspaces must fit the width together: expected rank × experts of 1 … {width}, found {rank} × {experts} = {total}"

                Parameters.concat
                    [ map.Init width (int total) (Rng.fork 0 rng)
                      Parameters(LowRank.linear LowRank.Weight LowRank.Bias (int total) width rng)
                      Parameters
                          [ Parameters.entry
                                Role.Decayed
                                "router_weight"
                                (Start.linear width [ int64 experts; int64 width ] (Rng.fork 3 rng))
                            Parameters.entry
                                Role.Undecayed
                                "router_bias"
                                (torch.zeros (int64 experts, dtype = torch.float32)) ] ])
            (bind map rank router)

    /// <summary>Routed LoReFT from the options that its form holds.</summary>
    /// <exception cref="T:System.ArgumentException">An option is missing, unknown or out of range.</exception>
    let ofForm (options: (string * FormOption) list) : Intervention =
        options |> FormOptions.onlyKnown subject [ "rank"; "experts"; "router" ]
        let name = options |> FormOptions.text subject "router" "sigmoid"

        match names |> List.tryFind (snd >> (=) name) with
        | Some(router, _) ->
            create
                router
                (options |> FormOptions.required subject "rank")
                (options |> FormOptions.required subject "experts")
        | None -> invalidArg (nameof options) $"'{name}' is no router: expected sigmoid or softmax"
