// TorchSharp's tensors are part of this API and are not CLS-compliant.
[assembly: CLSCompliant(false)]
