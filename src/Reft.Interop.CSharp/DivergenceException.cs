namespace Reft;

/// <summary>
/// The loss or its gradient became infinite or not a number. The model keeps the parameters from before that step.
/// </summary>
public sealed class DivergenceException : Exception
{
    /// <summary>An exception without details.</summary>
    public DivergenceException()
    {
    }

    /// <summary>An exception with a message.</summary>
    public DivergenceException(string message)
        : base(message)
    {
    }

    /// <summary>An exception with a message and its cause.</summary>
    public DivergenceException(string message, Exception innerException)
        : base(message, innerException)
    {
    }

    internal DivergenceException(int step, Exception cause)
        : base(cause.Message, cause) => Step = step;

    /// <summary>The step that could not be taken, from 1; 0 if unknown.</summary>
    public int Step { get; }
}
