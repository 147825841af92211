namespace Reft.Internal;

/// <summary>A tuning of a model with parameters, which it owns, and the model that binding makes of them.</summary>
internal sealed class AttachedTuning(Core.ModelTuning tuning, Core.LoadedModel loaded, Core.Parameters parameters) : IDisposable
{
    private Lazy<Core.BoundTuning> _bound = Binding(tuning, loaded, parameters);

    public Core.ModelTuning Tuning => tuning;

    public Core.Parameters Parameters => parameters;

    /// <summary>The tuned model, without gradients.</summary>
    public Core.Transformer Model => _bound.Value.Model;

    /// <summary>Frees what binding computed, until the model is asked for again: all weights, in full fine-tuning.</summary>
    public void Release()
    {
        if (_bound.IsValueCreated)
        {
            ((IDisposable)_bound.Value).Dispose();
            _bound = Binding(tuning, loaded, parameters);
        }
    }

    public void Dispose()
    {
        Release();
        Core.ParametersModule.dispose(parameters);
    }

    private static Lazy<Core.BoundTuning> Binding(
        Core.ModelTuning tuning, Core.LoadedModel loaded, Core.Parameters parameters) =>
        new(() => Core.ModelTuningModule.bind(loaded, parameters, tuning));
}
