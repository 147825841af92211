namespace Reft;

/// <summary>The native library that everything computes with.</summary>
public static class LibTorch
{
    /// <summary>
    /// Loads libtorch, once. Loading a model does so by itself: call this first only where a program makes tensors of its
    /// own before, e.g. the initial value of a parameter, because TorchSharp alone finds its natives on fewer systems.
    /// </summary>
    /// <exception cref="Exception">A native library is missing or does not load: the message names it and the package to add.</exception>
    public static void Load() => Core.Native.load();
}
