using Reft.Internal;
using TorchSharp;

namespace Reft;

/// <summary>What training minimises, as a function of your own.</summary>
/// <example>
/// <code>
/// // The usual loss, with labels that are smoothed by 0.1.
/// var smoothed = TrainingObjective.Custom("smoothed", batch =>
///     torch.nn.functional.cross_entropy(batch.Logits, batch.Targets, label_smoothing: 0.1));
/// await model.FitAsync(data, smoothed);
/// </code>
/// </example>
public sealed class TrainingObjective
{
    private readonly Func<ObjectiveBatch, torch.Tensor> _loss;

    private TrainingObjective(string name, Func<ObjectiveBatch, torch.Tensor> loss) => (Name, _loss) = (name, loss);

    /// <summary>What messages call it.</summary>
    public string Name { get; }

    /// <summary>A function of your own.</summary>
    /// <param name="name">What messages call it.</param>
    /// <param name="loss">
    /// A batch → its mean loss, a scalar, by differentiable operations of TorchSharp. It runs on the thread that trains, once for
    /// each batch, and must not keep tensors.
    /// </param>
    public static TrainingObjective Custom(string name, Func<ObjectiveBatch, torch.Tensor> loss)
    {
        ArgumentException.ThrowIfNullOrWhiteSpace(name);
        ArgumentNullException.ThrowIfNull(loss);
        return new TrainingObjective(name, loss);
    }

    internal Func<Core.Batch, Core.Parameters, torch.Tensor> Loss(Core.Tuned tuned) =>
        (batch, theta) =>
        {
            var loss = _loss(new ObjectiveBatch(batch, theta, tuned));
            if (loss.numel() != 1)
            {
                throw new InvalidOperationException(
                    $"the objective '{Name}' must return a scalar, the mean over the batch: expected one number, found the shape [{string.Join(", ", loss.shape)}]");
            }

            return !torch.is_grad_enabled() || loss.requires_grad
                ? loss.reshape([]).to(torch.ScalarType.Float32)
                : throw new InvalidOperationException(
                    $"the objective '{Name}' must depend on the parameters by differentiable operations: expected a result with a gradient, found one that is detached (detach(), no_grad(), item() or data in between)");
        };
}

/// <summary>
/// A batch as an objective of your own sees it. Tensors are computed when they are first asked for, with what is attached, and
/// belong to the step.
/// </summary>
public sealed class ObjectiveBatch
{
    private readonly Core.Batch _batch;
    private readonly Core.Parameters _theta;
    private readonly Core.Tuned _tuned;
    private readonly Lazy<(Core.Context Context, Core.Transformer Model, torch.Tensor Hidden)> _run;
    private readonly Lazy<torch.Tensor> _logits;
    private readonly Lazy<torch.Tensor> _logProbs;
    private readonly Lazy<torch.Tensor> _targets;
    private readonly Lazy<torch.Tensor> _targetRows;

    internal ObjectiveBatch(Core.Batch batch, Core.Parameters theta, Core.Tuned tuned)
    {
        (_batch, _theta, _tuned) = (batch, theta, tuned);
        Examples = [.. batch.Examples.Select(example => new TrainingExample(example.Ids, example.Labels, example.Prompt))];
        _run = new(() =>
        {
            var (context, model) = Core.TunedModule.attach(batch, theta, tuned);
            return (context, model, Core.LossModule.scored(batch, context, model).Item1);
        });
        _logits = new(() => Core.LanguageHeadModule.logits(Core.TransformerModule.causalHead(_run.Value.Model), HiddenStates));
        _targets = new(() => torch.tensor(batch.Targets).to(HiddenStates.device));
        _targetRows = new(() => torch.tensor(batch.Scored.Select(flat => flat / batch.Columns).ToArray()).to(HiddenStates.device));
        _logProbs = new(() => Core.SequenceLogProbs.ofTokens(
            _run.Value.Context.Attention, Core.TransformerModule.causalHead(_run.Value.Model), HiddenStates, Targets));
    }

    /// <summary>The rows, in the order of the batch: of pairs first those that are preferred, then the others.</summary>
    public IReadOnlyList<TrainingExample> Examples { get; }

    /// <summary>How many pairs it has: row i is preferred to row i + <see cref="Pairs"/>. 0 where rows stand alone.</summary>
    public int Pairs => _batch.Pairs;

    /// <summary>Every parameter of what is attached, by its name in the adapter's file, e.g. <c>layers.4.block_output.weight</c>.</summary>
    public IReadOnlyDictionary<string, torch.Tensor> Parameters => _theta.Entries.ToDictionary(p => p.Name, p => p.Value);

    /// <summary>What the head reads to predict each scored token, after the final norm. [scored, hidden], in the model's dtype</summary>
    public torch.Tensor HiddenStates => _run.Value.Hidden;

    /// <summary>The scored tokens. [scored] int64</summary>
    public torch.Tensor Targets => _targets.Value;

    /// <summary>The row of each scored token. [scored] int64</summary>
    public torch.Tensor TargetRows => _targetRows.Value;

    /// <summary>The logits of each scored token, all at once. [scored, vocabulary] fp32</summary>
    public torch.Tensor Logits => _logits.Value;

    /// <summary>The log-probability of each scored token, without holding all logits. [scored] fp32</summary>
    public torch.Tensor LogProbs => _logProbs.Value;

    /// <summary>The log-probability of each row's scored tokens together. [rows] fp32</summary>
    public torch.Tensor RowLogProbs => Core.SequenceLogProbs.sums(_batch, LogProbs);

    /// <summary>The same of the model without what is attached; no gradient flows through it. [rows] fp32</summary>
    public torch.Tensor BaseRowLogProbs()
    {
        using var still = torch.no_grad();
        var (context, model) = Core.TunedModule.unedited(_batch, _theta, _tuned);
        return Core.SequenceLogProbs.ofBatch(_batch, context, model);
    }

    /// <summary>The logits of each scored token of the model without what is attached; no gradient flows through them. [scored, vocabulary] fp32</summary>
    public torch.Tensor BaseLogits()
    {
        using var still = torch.no_grad();
        var (context, model) = Core.TunedModule.unedited(_batch, _theta, _tuned);
        return Core.LanguageHeadModule.logits(
            Core.TransformerModule.causalHead(model), Core.LossModule.scored(_batch, context, model).Item1);
    }
}
