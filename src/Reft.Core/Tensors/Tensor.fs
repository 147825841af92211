namespace Reft.Core

/// <summary>A tensor: libtorch's own, through TorchSharp, without a wrapper or a copy.</summary>
type Tensor = TorchSharp.torch.Tensor
