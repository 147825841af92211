using TorchSharp;

namespace Reft;

/// <summary>A sparse autoencoder of m latents over rows of width d, in the layout of most published ones.</summary>
/// <param name="Encoder">W_enc. [d, m]</param>
/// <param name="EncoderBias">b_enc. [m]</param>
/// <param name="Decoder">W_dec. [m, d]</param>
/// <param name="DecoderBias">b_dec. [d]</param>
/// <param name="Threshold">θ of a JumpReLU autoencoder, [m]; null for one with ReLU.</param>
public sealed record Autoencoder(
    torch.Tensor Encoder,
    torch.Tensor EncoderBias,
    torch.Tensor Decoder,
    torch.Tensor DecoderBias,
    torch.Tensor? Threshold = null);
