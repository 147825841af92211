using System.Globalization;
using System.Text.Json;

namespace Reft.Internal;

/// <summary>What tells the tasks apart: how rows are read, what is asked, and what is right.</summary>
internal sealed record TaskForm
{
    /// <summary>How many of the last training rows of GSM8K the paper's hyper-parameters were chosen by (its appendix C).</summary>
    public const int TuningRows = 300;

    private const NumberStyles Numeric = NumberStyles.Float;

    /// <summary>What a model is given.</summary>
    public required Func<string, string?, string> Prompt { get; init; }

    /// <summary>What stands before an answer.</summary>
    public required string Trigger { get; init; }

    /// <summary>A row to train on; null for one that holds nothing.</summary>
    public required Func<RawRow, TaskRow?> Training { get; init; }

    /// <summary>A row to evaluate.</summary>
    public required Func<RawRow, TaskRow?> Test { get; init; }

    /// <summary>The right answer and what stands after the trigger → the answer found, and whether it is right.</summary>
    public Func<string, string, (string Extracted, bool IsCorrect)>? Judge { get; init; }

    /// <summary>Whether it is the training rows, all rows of the file, and its name → those of the split.</summary>
    public Func<bool, List<TaskRow>, string, IReadOnlyList<TaskRow>> Split { get; init; } = (_, rows, _) => rows;

    /// <summary>Columns of the tasks that rows of data do not have.</summary>
    public static DataOptions Reading { get; } = new() { AlsoRead = ["question", "answer", "completions"] };

    public static TaskForm Commonsense { get; } = new()
    {
        Prompt = (instruction, _) => TaskPrompts.Commonsense(instruction),
        Trigger = TaskPrompts.CommonsenseTrigger,
        Training = CommonsenseExample,
        Test = CommonsenseRow,
        Judge = (answer, text) => (text.Trim(), text.Trim() == answer.Trim()),
    };

    public static TaskForm Arithmetic { get; } = new()
    {
        Prompt = (instruction, _) => TaskPrompts.Alpaca(instruction),
        Trigger = TaskPrompts.ResponseTrigger,
        Training = ArithmeticExample,
        Test = ArithmeticRow,
        Judge = Arithmetical,
    };

    public static TaskForm Gsm8K { get; } = new()
    {
        Prompt = (question, _) => TaskPrompts.StepByStep(question),
        Trigger = TaskPrompts.StepByStepTrigger,
        Training = raw => Gsm8KRow(raw) with
        {
            Completion = Needed(raw, "answer").Replace("####", "The final answer is: ", StringComparison.Ordinal),
        },
        Test = Gsm8KRow,
        Judge = (answer, text) => Numerical(double.Parse(answer, Numeric, CultureInfo.InvariantCulture), text),
    };

    public static TaskForm Gsm8KTuning { get; } = Gsm8K with
    {
        Split = (isTraining, rows, path) =>
            rows.Count <= TuningRows
                ? throw new InvalidDataException($"{path}: expected more than {TuningRows} rows, of which the last {TuningRows} are held out, found {rows.Count}")
                : isTraining ? rows[..^TuningRows] : rows[^TuningRows..],
    };

    public static TaskForm Instruction { get; } = new()
    {
        Prompt = TaskPrompts.Alpaca,
        Trigger = TaskPrompts.ResponseTrigger,
        Training = InstructionRow,
        Test = raw => AskedOf(raw) with { Source = raw.Source },
    };

    private static TaskRow CommonsenseExample(RawRow raw)
    {
        var row = CommonsenseRow(raw);
        return row with { Completion = TaskPrompts.CommonsenseTrigger + row.Answer };
    }

    private static TaskRow CommonsenseRow(RawRow raw)
    {
        var instruction = Needed(raw, "instruction");
        return new TaskRow
        {
            Instruction = instruction,
            Prompt = TaskPrompts.Commonsense(instruction),
            Answer = Answer(raw),
            Source = raw.Source,
        };
    }

    private static TaskRow ArithmeticExample(RawRow raw)
    {
        var asked = Asked(raw);
        return new TaskRow
        {
            Instruction = asked,
            Prompt = TaskPrompts.Alpaca(asked),
            Completion = Needed(raw, "output"),
            Source = raw.Source,
        };
    }

    private static TaskRow ArithmeticRow(RawRow raw)
    {
        var asked = Asked(raw);
        var answer = AnswerExtraction.AfterHashes(Answer(raw));
        if (NumberOf(answer) is null && answer is not [>= 'A' and <= 'E'])
        {
            throw RowForm.Refuse(raw.Source, "answer", $"expected a number or one of the letters A to E, found '{Shown(answer)}'");
        }

        return new TaskRow { Instruction = asked, Prompt = TaskPrompts.Alpaca(asked), Answer = answer, Source = raw.Source };
    }

    private static TaskRow Gsm8KRow(RawRow raw)
    {
        var question = Needed(raw, "question");
        var answer = AnswerExtraction.AfterHashes(Needed(raw, "answer"));
        return new TaskRow
        {
            Instruction = question,
            Prompt = TaskPrompts.StepByStep(question),
            Answer = AnswerExtraction.LastNumber(answer)?.ToString("R", CultureInfo.InvariantCulture)
                ?? throw RowForm.Refuse(raw.Source, "answer", $"expected a number after '####', found '{Shown(answer)}'"),
            Source = raw.Source,
        };
    }

    private static TaskRow? InstructionRow(RawRow raw)
    {
        if (raw.Field("completions") is not { } completions)
        {
            return AskedOf(raw) with { Completion = Needed(raw, "output"), Source = raw.Source };
        }

        return Best(completions, raw.Source) is { } best ? AskedOf(raw) with { Completion = best, Source = raw.Source } : null;
    }

    private static TaskRow AskedOf(RawRow raw)
    {
        var instruction = Needed(raw, "instruction");
        return new TaskRow { Instruction = instruction, Prompt = TaskPrompts.Alpaca(instruction, raw.Text("input")) };
    }

    // The response that was rated best, the first of several; those without a rating do not take part.
    private static string? Best(JsonElement completions, string source)
    {
        if (completions.ValueKind != JsonValueKind.Array)
        {
            throw RowForm.Refuse(source, "completions", $"expected an array of objects, found {RowReader.Kind(completions)}");
        }

        var (best, rating) = ((string?)null, double.NegativeInfinity);
        foreach (var (i, completion) in completions.EnumerateArray().Index())
        {
            if (completion.ValueKind != JsonValueKind.Object
                || !completion.TryGetProperty("response", out var response) || response.ValueKind != JsonValueKind.String)
            {
                throw RowForm.Refuse(source, $"completions[{i}]", "expected an object with a text 'response'");
            }

            if (completion.TryGetProperty("overall_score", out var score) && Rating(score) is { } value && value > rating)
            {
                (best, rating) = (response.GetString(), value);
            }
        }

        return best;
    }

    private static double? Rating(JsonElement score) =>
        score.ValueKind switch
        {
            JsonValueKind.Number => score.GetDouble(),
            JsonValueKind.String => NumberOf(score.GetString()!),
            _ => null,
        };

    // LLM-Adapters' files have 'instruction'; GSM8K's own have 'question'.
    private static string Asked(RawRow raw) => raw.Text("instruction") ?? raw.Text("question") ?? Needed(raw, "instruction");

    private static string Needed(RawRow raw, string field) =>
        raw.Text(field) ?? throw RowForm.Refuse(raw.Source, field, "expected a text, found none");

    // A text, a number, or, as an early version of AQuA's file has it, one of them in an array.
    private static string Answer(RawRow raw) =>
        raw.Field("answer") switch
        {
            null => throw RowForm.Refuse(raw.Source, "answer", "expected a text or a number, found none"),
            { ValueKind: JsonValueKind.String } text => text.GetString()!.Trim(),
            { ValueKind: JsonValueKind.Number } number => number.GetRawText(),
            { ValueKind: JsonValueKind.Array } several when several.GetArrayLength() == 1 && several[0].ValueKind == JsonValueKind.String =>
                several[0].GetString()!.Trim(),
            { } other => throw RowForm.Refuse(raw.Source, "answer", $"expected a text or a number, found {RowReader.Kind(other)}"),
        };

    // Which of the two is asked for, the right answer says, as in pyreft.
    private static (string Extracted, bool IsCorrect) Arithmetical(string answer, string text) =>
        NumberOf(answer) is { } number ? Numerical(number, text)
        : AnswerExtraction.FirstLetter(text) is { } letter ? (letter.ToString(), letter.ToString() == answer)
        : ("", false);

    private static (string Extracted, bool IsCorrect) Numerical(double expected, string text) =>
        AnswerExtraction.LastNumber(text) is { } found
            ? (found.ToString("R", CultureInfo.InvariantCulture), AnswerExtraction.SameNumber(expected, found))
            : ("", false);

    private static double? NumberOf(string text) =>
        double.TryParse(text.Replace(",", "", StringComparison.Ordinal), Numeric, CultureInfo.InvariantCulture, out var number)
        && double.IsFinite(number)
            ? number
            : null;

    private static string Shown(string text) => text.Length <= 40 ? text : text[..40] + "…";
}
