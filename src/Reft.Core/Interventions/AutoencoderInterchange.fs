namespace Reft.Core

open System.Globalization
open TorchSharp

/// <summary>A sparse autoencoder of m latents over rows of width d, in the layout of most published ones.</summary>
[<NoEquality; NoComparison>]
type AutoencoderWeights =
    {
        /// W_enc. [d, m]
        Encoder: Tensor
        /// b_enc. [m]
        EncoderBias: Tensor
        /// W_dec. [m, d]
        Decoder: Tensor
        /// b_dec. [d]
        DecoderBias: Tensor
        /// θ of a JumpReLU autoencoder, [m]; <c>None</c> for one with ReLU.
        Threshold: Tensor option
    }

/// <summary>
/// Interchange of an autoencoder's latents: h ↦ W_decᵀ z′ + b_dec, where z′ is the code z(h) with chosen latents, or all,
/// replaced by those of z(s), the code of a source run.
/// </summary>
/// <remarks>
/// <list type="bullet">
/// <item>ReLU, z(x) = relu(W_encᵀ (x − b_dec) + b_enc): pyvene's <c>AutoencoderIntervention</c>.</item>
/// <item>JumpReLU, z(x) = a ⊙ [a > θ] ⊙ [a > 0] with a = W_encᵀ x + b_enc: pyvene's
/// <c>JumpReLUAutoencoderIntervention</c>, Gemma Scope's autoencoders (Rajamanoharan et al., arXiv 2407.14435).</item>
/// </list>
/// The row is replaced by the reconstruction, error included: what the autoencoder does not capture is lost, in rows
/// whose latents are equal too. The weights are constant: saved, never trained. Without an autoencoder, directions can be
/// learnt by <see cref="T:Reft.Core.RotatedInterchangeModule"/>.
/// </remarks>
[<RequireQualifiedAccess>]
module AutoencoderInterchange =

    [<Literal>]
    let private Relu = "autoencoder_interchange"

    [<Literal>]
    let private JumpRelu = "jumprelu_interchange"

    let private formOf subject (size: int) (latents: int list option) source =
        Form.Method(
            subject,
            [ "size", FormOption.Int size
              match latents with
              | Some latents -> "latents", FormOption.Text(latents |> List.map string |> String.concat ",")
              | None -> ()
              yield! Sources.options source ]
        )

    let private encoder (theta: Parameters) =
        let weight, bias = theta["encoder"].t(), theta["encoder_bias"]

        match theta.TryFind "threshold" with
        | None ->
            let start = theta["decoder_bias"]
            fun (x: Tensor) -> torch.nn.functional.linear(x - start, weight, bias).relu()
        | Some threshold ->
            fun (x: Tensor) ->
                let before = torch.nn.functional.linear (x, weight, bias)
                before.relu () * before.gt(threshold).``to`` before.dtype

    let private bind (latents: int list option) (source: string) (theta: Parameters) =
        let encode = encoder theta
        let decoder, bias = theta["decoder"].t(), theta["decoder_bias"]

        let chosen =
            latents
            |> Option.map (fun latents ->
                let flags = Array.zeroCreate<bool>(int (theta["encoder_bias"].shape[0]))

                for latent in latents do
                    flags[latent] <- true

                (torch.tensor flags).``to`` bias.device)

        Edit.Replace(fun context h ->
            let theirs = Sources.rows source context h |> encode

            let code =
                match chosen with
                | None -> theirs
                | Some chosen -> torch.where (chosen, theirs, encode h)

            torch.nn.functional.linear (code, decoder, bias))

    let private make subject size (latents: int list option) source init =
        if size < 1 then
            invalidArg (nameof size) $"expected an autoencoder of 1 or more latents, found {size}"

        match latents with
        | Some latents ->
            if
                latents.IsEmpty
                || List.distinct latents <> latents
                || latents |> List.exists (fun latent -> latent < 0 || latent >= size)
            then
                let found = latents |> List.map string |> String.concat ","

                invalidArg
                    (nameof latents)
                    $"expected distinct latents of 0 … {size - 1}, at least one, found '{found}'"
        | None -> ()

        Intervention.create (formOf subject size latents (Sources.named source)) init (bind latents source)

    /// The names and shapes of the weights of m latents over a width d.
    let private shapes subject (size: int) (width: int) =
        let size, width = int64 size, int64 width

        [ "encoder", [ width; size ]
          "encoder_bias", [ size ]
          "decoder", [ size; width ]
          "decoder_bias", [ width ]
          if subject = JumpRelu then
              "threshold", [ size ] ]

    /// <summary>
    /// An interchange of latents; JumpReLU where the weights have a threshold. The weights are copied.
    /// </summary>
    /// <param name="source">The name of the source run.</param>
    /// <param name="latents">Which latents are swapped; <c>None</c> is all.</param>
    /// <param name="weights">The autoencoder.</param>
    /// <exception cref="T:System.ArgumentException">
    /// The tensors' shapes do not fit together, a number is not finite, or a latent is not the autoencoder's.
    /// </exception>
    let create (source: string) (latents: int list option) (weights: AutoencoderWeights) : Intervention =
        Native.load ()
        let subject = if weights.Threshold.IsSome then JumpRelu else Relu
        let shape = weights.Encoder.shape

        if shape.Length <> 2 then
            let found = System.String.Join(", ", shape)
            invalidArg (nameof weights) $"the encoder of {subject}: expected shape [width, latents], found [{found}]"

        let width, size = int shape[0], int shape[1]

        let value name =
            match name, weights.Threshold with
            | "encoder", _ -> weights.Encoder
            | "encoder_bias", _ -> weights.EncoderBias
            | "decoder", _ -> weights.Decoder
            | "threshold", Some threshold -> threshold
            | _ -> weights.DecoderBias

        let kept =
            shapes subject size width
            |> List.map (fun (name, sizes) ->
                Parameters.entry Role.Constant name (value name |> ConstantValue.copy subject name sizes))
            |> Parameters

        make subject size latents source (fun site _ ->
            ConstantValue.refuseWidth subject width site
            kept |> Parameters.map (fun value -> value.clone ()))

    let private fromForm subject (options: (string * FormOption) list) =
        options |> FormOptions.onlyKnown subject [ "size"; "latents"; "source" ]
        let size = options |> FormOptions.required subject "size"

        let number (text: string) =
            match System.Int32.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture) with
            | true, latent -> latent
            | _ ->
                invalidArg
                    (nameof options)
                    $"option 'latents' of {subject}: expected numbers joined by commas, such as 0,7,12, found '{text}'"

        let latents =
            if options |> List.exists (fst >> (=) "latents") then
                (options |> FormOptions.text subject "latents" "").Split ','
                |> Array.map number
                |> Array.toList
                |> Some
            else
                None

        make subject size latents (options |> Sources.ofOptions subject) (fun width _ ->
            shapes subject size width
            |> List.map (fun (name, sizes) ->
                Parameters.entry Role.Constant name (torch.zeros (List.toArray sizes, dtype = torch.float32)))
            |> Parameters)

    /// <summary>
    /// An interchange of a ReLU autoencoder's latents from the options of its form: its weights are zero until parameters
    /// are loaded.
    /// </summary>
    /// <exception cref="T:System.ArgumentException">An option is missing, unknown or out of range.</exception>
    let ofForm (options: (string * FormOption) list) : Intervention = fromForm Relu options

    /// <summary>The same of a JumpReLU autoencoder.</summary>
    /// <exception cref="T:System.ArgumentException">An option is missing, unknown or out of range.</exception>
    let jumpReluOfForm (options: (string * FormOption) list) : Intervention = fromForm JumpRelu options
