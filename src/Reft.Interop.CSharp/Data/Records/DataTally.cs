using System.Globalization;

namespace Reft.Internal;

/// <summary>What is counted of rows as they are checked, one by one.</summary>
internal sealed class DataTally
{
    private readonly DataOptions _options;
    private readonly ValidationOptions _validation;
    private readonly RowEncoder? _encoder;
    private readonly RowTargets? _targets;
    private readonly int _maxLength;
    private readonly List<DataProblem> _problems = [];
    private readonly SortedDictionary<int, long> _lengths = [];
    private readonly Dictionary<string, long> _labels = new(StringComparer.Ordinal);
    private long _rows;
    private long _bad;
    private long _tokens;
    private long _scored;
    private long _truncated;
    private long _unscored;

    public DataTally(DataOptions options, ValidationOptions validation)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(validation.MaxLength ?? 2, 2, nameof(validation));
        ArgumentOutOfRangeException.ThrowIfNegative(validation.ProblemLimit, nameof(validation));
        (_options, _validation) = (options, validation);
        _maxLength = validation.MaxLength ?? int.MaxValue;
        if (validation.ModelFolder is { } folder)
        {
            (_encoder, var context) = RowEncoder.OfFolder(folder);
            _maxLength = Math.Min(_maxLength, context);
        }

        if (validation is { Problem: { } problem and not ClassifierProblem.Regression, Labels: { } labels })
        {
            _targets = new RowTargets(Core.SequenceTaskModule.create(problem.ToCore(), labels.ToFSharpList()));
        }
        else if (validation.Problem == ClassifierProblem.Regression)
        {
            _targets = new RowTargets(Core.SequenceTaskModule.regression);
        }
    }

    /// <summary>Checks a row and counts it.</summary>
    public void Add(RecordFile file, Record record)
    {
        _rows++;
        try
        {
            if (_validation.Problem is { } problem)
            {
                Count(file.Read(record.Number, record.Bytes, raw => RowShape.Labelled(raw, _options.Template)), problem);
            }
            else
            {
                Count(file.Read(record.Number, record.Bytes, raw => RowShape.Row(raw, _options.Template, _validation.Use)));
            }
        }
        catch (Exception e) when (e is InvalidDataException or ArgumentException)
        {
            _bad++;
            Tell(_rows, e);
        }
    }

    /// <summary>The report of a file whose end cannot be reached.</summary>
    public DataReport Broken(InvalidDataException error)
    {
        _problems.Add(new DataProblem(_rows + 1, RowError.FieldOf(error), error.Message));
        return Report(isComplete: false);
    }

    /// <summary>The report.</summary>
    public DataReport Report(bool isComplete = true) =>
        new()
        {
            Rows = _rows,
            BadRows = _bad,
            Problems = _problems,
            IsComplete = isComplete,
            Tokens = _encoder is null ? null : _tokens,
            ScoredTokens = _encoder is null || _validation.Problem is not null ? null : _scored,
            TruncatedRows = _encoder is null ? null : _truncated,
            UnscoredRows = _encoder is null || _validation.Problem is not null ? null : _unscored,
            Lengths = _lengths.Count == 0 ? null : new(At(0), At(0.5), At(0.9), At(0.99), At(1)),
            Labels = _labels,
        };

    private void Count(DataRow row)
    {
        if (_encoder?.Encode(_validation.Use, row, 0) is not { } example)
        {
            return;
        }

        var length = example.Ids.Length;
        var isWhole = row is { Prompt: null, Labels: null, PromptLength: null, Messages: null };
        if (_validation.Use == RowUse.Generate ? length >= _maxLength : _validation.Use == RowUse.Score && isWhole && length > _maxLength)
        {
            throw RowError.Of(row.Source!, null, $"it has {length} tokens: expected at most {_maxLength - (_validation.Use == RowUse.Generate ? 1 : 0)}");
        }

        var cut = Core.ExampleModule.truncate(_maxLength, example);
        CountTokens(length);
        _scored += cut.ScoredCount;
        _unscored += cut.ScoredCount == 0 ? 1 : 0;
    }

    private void Count(LabelledRow row, ClassifierProblem problem)
    {
        var labels = row.Labels is { } several && problem == ClassifierProblem.MultiLabel ? several : row.Label is { } one ? [one] : null;
        if (_targets is not null)
        {
            _targets.Of(row, 0);
        }
        else if (labels is null)
        {
            throw RowForm.Refuse(row.Source!, "label", $"expected a label, found {RowTargets.Found(row)}");
        }

        if (_encoder?.EncodeRow(row, 0, int.MaxValue, null) is { } example)
        {
            CountTokens(example.Ids.Length);
        }
        else if (row is { Text: null, InputIds: null })
        {
            throw RowForm.Refuse(row.Source!, "text", "expected a text, or 'input_ids', found neither");
        }

        foreach (var label in problem == ClassifierProblem.Regression ? [] : labels ?? [])
        {
            // A column of texts that was taken for labels must not fill the memory.
            if (_labels.ContainsKey(label) || _labels.Count < 10_000)
            {
                _labels[label] = _labels.GetValueOrDefault(label) + 1;
            }
        }
    }

    private void CountTokens(int length)
    {
        _tokens += length;
        _truncated += length > _maxLength ? 1 : 0;
        _lengths[length] = _lengths.GetValueOrDefault(length) + 1;
    }

    private void Tell(long row, Exception error)
    {
        if (_problems.Count < _validation.ProblemLimit)
        {
            _problems.Add(new DataProblem(row, RowError.FieldOf(error), error.Message));
        }
    }

    // The shortest length that this share of rows does not exceed.
    private int At(double share)
    {
        var needed = Math.Max(1, (long)Math.Ceiling(share * _lengths.Values.Sum()));
        foreach (var (length, count) in _lengths)
        {
            needed -= count;
            if (needed <= 0)
            {
                return length;
            }
        }

        throw new InvalidOperationException($"no row of {share.ToString(CultureInfo.InvariantCulture)}");
    }
}
