namespace Reft.Core

open System
open System.Globalization
open TorchSharp

/// <summary>
/// LoReFT whose r latent rows are divided into parts that examples switch on one by one (compositional ReFT, pyreft's
/// notebooks): Φ(h) = h + Rᵀ M (W h + b − R h), where M keeps the rows of the example's parts.
/// </summary>
/// <remarks>
/// An example says which parts act on it (<c>Example.Subspaces</c>; none said, all act), so that parts trained on
/// different tasks share one orthonormal R and can be used together. To choose rows once and for all use
/// <c>onSubspace</c>; to let the model choose, <see cref="T:Reft.Core.RoutedLoreftModule"/>.
/// </remarks>
[<RequireQualifiedAccess>]
module PartitionedLoreft =

    let private subject = "partitioned_loreft"

    /// Rows in the order of the text, as runs of first and last: as long as the text, whatever the rank is.
    let private merge (runs: (int * int) list) =
        List.foldBack
            (fun (first, last) merged ->
                match merged with
                | (next, until) :: rest when next = last + 1 -> (first, until) :: rest
                | _ -> (first, last) :: merged)
            runs
            []

    let private show (parts: (int * int) list list) =
        let run (first, last) =
            match last - first with
            | 0 -> string first
            | 1 -> $"{first},{last}"
            | _ -> $"{first}-{last}"

        parts |> List.map (List.map run >> String.concat ",") |> String.concat ";"

    let private refuse (text: string) rank =
        let shown =
            if text.Length > 200 then
                text.Substring(0, 200) + "…"
            else
                text

        invalidArg
            "partition"
            $"'{shown}' is no partition of {rank} latent rows: expected each of 0 … {rank - 1} once, such as 0-3;4-7 or 0,2;1,3"

    let private check rank (parts: (int * int) list list) =
        let runs = parts |> List.concat |> List.sort

        let adjoin =
            runs
            |> List.pairwise
            |> List.forall (fun ((_, last), (first, _)) -> first = last + 1)

        // Adjoining runs from the first row to the last are each row once.
        let whole =
            not runs.IsEmpty
            && adjoin
            && fst runs.Head = 0
            && snd (List.last runs) = rank - 1

        if List.exists List.isEmpty parts || not whole then
            refuse (show parts) rank

    let private read rank (text: string) =
        let number (digits: string) =
            match Int32.TryParse(digits.Trim(), NumberStyles.None, CultureInfo.InvariantCulture) with
            | true, n when n < rank -> n
            | _ -> refuse text rank

        let range (word: string) =
            match word.Split '-' with
            | [| one |] -> number one, number one
            | [| first; last |] when number first <= number last -> number first, number last
            | _ -> refuse text rank

        [ for part in text.Split ';' -> part.Split ',' |> Seq.map range |> Seq.toList |> merge ]

    /// Ones where a row's parts act. [n, r]
    let private mask (rank: int) (parts: (int * int) list[]) (context: Context) (h: Tensor) =
        if int64 context.Rows.Length <> h.shape[0] then
            invalidOp
                $"{subject} chooses parts by example: expected the batch row of each of {h.shape[0]} rows (Context.Rows), found {context.Rows.Length}"

        match context.Rows |> Array.tryFind (fun row -> row >= context.Subspaces.Length) with
        | Some row ->
            invalidOp
                $"{subject}: expected subspaces for every row of the batch, or none at all; found {context.Subspaces.Length} lists and row {row}"
        | None -> ()

        let ofExample example =
            let chosen = context.Subspaces[example]
            let row = Array.zeroCreate<float32> rank

            if chosen.IsEmpty then
                Array.fill row 0 rank 1.0f

            for part in chosen do
                if part < 0 || part >= parts.Length then
                    invalidOp
                        $"{subject}: row {example} of the batch names the subspace {part}: expected 0 … {parts.Length - 1}"

                for first, last in parts[part] do
                    Array.fill row first (last - first + 1) 1.0f

            row

        let table = context.Subspaces |> Array.mapi (fun example _ -> ofExample example)
        let flat = context.Rows |> Array.collect (fun example -> table[example])

        (torch.tensor flat).view(int64 context.Rows.Length, int64 rank).``to``(h.dtype, h.device)

    let private bind (map: OrthonormalMap) rank (parts: (int * int) list[]) (theta: Parameters) =
        let columns = map.Apply theta // Rᵀ [d, r]
        let down = theta[LowRank.Weight] - columns.t () // W − R
        let bias = theta[LowRank.Bias]

        Edit.Delta(fun context h ->
            let latent = torch.nn.functional.linear (h, down, bias) // [n, r]

            let latent =
                if context.Subspaces.Length = 0 then
                    latent
                else
                    latent * mask rank parts context h

            torch.nn.functional.linear (latent, columns))

    let private ofRuns rank (parts: (int * int) list list) : Intervention =
        check rank parts
        let map = Orthonormal.qr

        Intervention.create
            (Form.Method(subject, [ "rank", FormOption.Int rank; "partition", FormOption.Text(show parts) ]))
            (fun width rng ->
                LowRank.checkWidth subject rank width

                Parameters.concat
                    [ map.Init width rank (Rng.fork 0 rng)
                      Parameters(LowRank.linear LowRank.Weight LowRank.Bias rank width rng) ])
            (bind map rank (List.toArray parts))

    /// <summary>LoReFT of a rank with the given parts of its latent rows.</summary>
    /// <param name="rank">The number of latent rows.</param>
    /// <param name="parts">Each row once, e.g. <c>[ [ 0; 1 ]; [ 2; 3 ] ]</c>.</param>
    /// <exception cref="T:System.ArgumentException">The rank is out of range, or the parts are no partition of its rows.</exception>
    let create (rank: int) (parts: int list list) : Intervention =
        LowRank.checkRank subject rank
        parts |> List.map (List.map (fun row -> row, row) >> merge) |> ofRuns rank

    /// <summary>The same with <paramref name="count"/> equal parts.</summary>
    /// <exception cref="T:System.ArgumentException">The rank cannot be divided so.</exception>
    let equal (rank: int) (count: int) : Intervention =
        LowRank.checkRank subject rank

        if count < 1 || rank % count <> 0 then
            invalidArg (nameof count) $"expected a number of equal parts that divides the rank {rank}, found {count}"

        create rank [ for part in [ 0 .. rank - 1 ] |> List.chunkBySize (rank / count) -> part ]

    /// <summary>Partitioned LoReFT from the options that its form holds.</summary>
    /// <exception cref="T:System.ArgumentException">An option is missing, unknown or out of range.</exception>
    let ofForm (options: (string * FormOption) list) : Intervention =
        options |> FormOptions.onlyKnown subject [ "rank"; "partition" ]
        let rank = options |> FormOptions.required subject "rank"
        LowRank.checkRank subject rank

        match options |> FormOptions.text subject "partition" "" with
        | "" -> invalidArg (nameof options) $"{subject} needs the option 'partition', such as 0-3;4-7"
        | text -> text |> read rank |> ofRuns rank
