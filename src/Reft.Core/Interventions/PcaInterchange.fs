namespace Reft.Core

open TorchSharp

/// <summary>Principal components, as scikit-learn's <c>PCA</c> and <c>StandardScaler</c> give them.</summary>
[<NoEquality; NoComparison>]
type PcaBasis =
    {
        /// C, orthonormal rows. [components, width]
        Components: Tensor
        /// μ, subtracted first. [width]
        Mean: Tensor
        /// σ, divided by next; ones where nothing was scaled. [width]
        Deviation: Tensor
    }

/// <summary>
/// Interchange of the first k principal coordinates of a source run: with p(x) = C ((x − μ) / σ), h ↦ σ ⊙ (Cᵀ p′) + μ,
/// where p′ is p(h) with its first k coordinates replaced by those of p(s) (pyvene's
/// <c>PCARotatedSpaceIntervention</c>).
/// </summary>
/// <remarks>
/// As in pyvene the rows are rebuilt from their coordinates: with fewer components than the width, what lies outside them
/// becomes the mean. Give all components to keep it. The basis is constant: saved, never trained. Where the directions
/// are to be learnt, use <see cref="T:Reft.Core.RotatedInterchangeModule"/>.
/// </remarks>
[<RequireQualifiedAccess>]
module PcaInterchange =

    [<Literal>]
    let private Subject = "pca_interchange"

    let private formOf components count source =
        Form.Method(
            Subject,
            [ "components", FormOption.Int components
              if count <> components then
                  "count", FormOption.Int count
              yield! Sources.options source ]
        )

    let private bind (count: int) (source: string) (theta: Parameters) =
        let components, mean, deviation =
            theta["components"], theta["mean"], theta["deviation"]

        let columns = components.t ()

        Edit.Replace(fun context h ->
            let coordinates (x: Tensor) =
                torch.nn.functional.linear ((x - mean) / deviation, components)

            let ours = coordinates h // [n, components]
            let theirs = Sources.rows source context h |> coordinates

            let swapped =
                torch.cat (
                    ResizeArray
                        [ theirs.narrow (1L, 0L, int64 count)
                          ours.narrow (1L, int64 count, ours.shape[1] - int64 count) ],
                    1L
                )

            torch.nn.functional.linear (swapped, columns) * deviation .+ mean)

    let private make components count source init =
        if components < 1 then
            invalidArg (nameof components) $"expected 1 or more principal components, found {components}"

        if count < 1 || count > components then
            invalidArg
                (nameof count)
                $"expected 1 … {components} principal coordinates to interchange, found {count}: the basis has {components} components"

        Intervention.create (formOf components count (Sources.named source)) init (bind count source)

    let private parameters components mean deviation =
        Parameters
            [ Parameters.entry Role.Constant "components" components
              Parameters.entry Role.Constant "mean" mean
              Parameters.entry Role.Constant "deviation" deviation ]

    /// <summary>An interchange of principal coordinates; the basis is copied.</summary>
    /// <param name="source">The name of the source run.</param>
    /// <param name="count">How many of the first coordinates are swapped.</param>
    /// <param name="basis">The components, mean and standard deviation.</param>
    /// <exception cref="T:System.ArgumentException">
    /// The tensors' shapes do not fit together, a number is not finite, a deviation not positive, or there are fewer
    /// components than coordinates to swap.
    /// </exception>
    let create (source: string) (count: int) (basis: PcaBasis) : Intervention =
        Native.load ()
        let shape = basis.Components.shape

        if shape.Length <> 2 || shape[0] > shape[1] then
            let found = System.String.Join(", ", shape)

            invalidArg
                (nameof basis)
                $"the components of a PCA: expected shape [components, width] with at most as many components as the width, found [{found}]"

        let components, width = int shape[0], int shape[1]
        let copy name sizes = ConstantValue.copy Subject name sizes

        let kept =
            parameters
                (copy "components" [ shape[0]; shape[1] ] basis.Components)
                (copy "mean" [ shape[1] ] basis.Mean)
                (copy "deviation" [ shape[1] ] basis.Deviation)

        let positive =
            Scope.free (fun () -> kept["deviation"].gt(held 0.0f).all().item<bool>())

        if not positive then
            invalidArg
                (nameof basis)
                "the deviation of a PCA divides the rows: expected numbers above 0, found one that is not (use 1 for what is constant)"

        make components count source (fun site _ ->
            ConstantValue.refuseWidth Subject width site
            kept |> Parameters.map (fun value -> value.clone ()))

    /// <summary>
    /// An interchange of principal coordinates from the options of its form: its basis is zero until parameters are loaded.
    /// </summary>
    /// <exception cref="T:System.ArgumentException">An option is missing, unknown or out of range.</exception>
    let ofForm (options: (string * FormOption) list) : Intervention =
        options |> FormOptions.onlyKnown Subject [ "components"; "count"; "source" ]
        let components = options |> FormOptions.required Subject "components"

        make
            components
            (options |> FormOptions.int Subject "count" components)
            (options |> Sources.ofOptions Subject)
            (fun width _ ->
                let zeros (sizes: int64 list) =
                    torch.zeros (List.toArray sizes, dtype = torch.float32)

                parameters (zeros [ int64 components; int64 width ]) (zeros [ int64 width ]) (zeros [ int64 width ]))
