namespace Reft.Internal;

/// <summary>A teacher, and the rows that it reads in place of the student's.</summary>
/// <param name="name">What it is called where runs are told apart.</param>
/// <param name="teacher">The teacher.</param>
/// <param name="context">The longest row that it reads.</param>
/// <param name="options">How it is followed.</param>
internal sealed class TeacherRuns(string name, Core.Teacher teacher, int context, DistillationOptions options)
{
    private readonly Core.DistillationLossOptions _core =
        Core.Distillation.check(new Core.DistillationLossOptions(options.Temperature, options.Weight));

    /// <summary>The loss of rows, by the identity of their examples: batches may be shuffled.</summary>
    /// <param name="rows">The student's examples and what they were made of; null where they stay on the disk.</param>
    /// <param name="tuned">The student.</param>
    /// <param name="encoder">The student's.</param>
    /// <param name="maxLength">To what the student's rows are cut.</param>
    /// <param name="recompute">Blocks whose activations are computed again together; null keeps all.</param>
    public MeasuredLoss Loss(
        IReadOnlyList<(Core.Example Example, DataRow Row, int Index)>? rows, Core.Tuned tuned, RowEncoder encoder, int maxLength, int? recompute = null)
    {
        var (followed, prompts) = (teacher, "");
        if (options.TeacherPrompt is { } prompt)
        {
            if (rows is null)
            {
                throw new ArgumentException(
                    "TeacherPrompt makes other prompts of rows in memory: read the data with FromFile, not as a stream", nameof(rows));
            }

            var seen = rows.ToDictionary(
                row => row.Example,
                row => Seen(prompt, row.Example, row.Row, row.Index, encoder),
                ReferenceEqualityComparer.Instance as IEqualityComparer<Core.Example>);
            Func<Core.Example, Core.Example> view = example => seen[example];
            prompts = $" with other prompts, {Core.RunFactsModule.examples(rows.Select(row => seen[row.Example]))}";
            followed = Core.Distillation.seeing(view.ToFSharpFunc(), teacher);
        }
        else if (Math.Min(maxLength, rows?.Select(row => row.Example.Ids.Length).DefaultIfEmpty(0).Max() ?? maxLength) is var longest && longest > context)
        {
            throw new ArgumentException(
                $"a row has {longest} tokens, more than the teacher's context of {context}: lower MaxLength", nameof(rows));
        }

        return new MeasuredLoss(
            $"distillation from {name}{prompts}, {_core}",
            ["loss", "kl", "language"],
            ModelSteps.Recomputing(recompute, () => Core.Distillation.readout(_core, followed), tuned)
                ?? Core.Distillation.loss(_core, followed, tuned).ToFunc(),
            (batches, theta) => Core.Distillation.metrics(_core, followed, tuned, batches, theta));
    }

    // The teacher's prompt, and what the student's row has left of its completion.
    private Core.Example Seen(Func<string, string> prompt, Core.Example example, DataRow row, int index, RowEncoder encoder)
    {
        var source = row.Source ?? $"row {index}";
        if (row.Prompt is not { } text)
        {
            throw RowForm.Refuse(source, "prompt", "TeacherPrompt makes another prompt of a text, and this row has token ids");
        }

        var seen = Core.ExampleModule.ofCompletion(
            encoder.EncodePrompt(prompt(text), "prompt", source), example.Ids[example.Prompt..]);
        return seen.Ids.Length <= context
            ? seen
            : throw RowForm.Refuse(
                source, "prompt", $"with the teacher's prompt the row has {seen.Ids.Length} tokens, more than its context of {context}: shorten the prompt, or lower MaxLength");
    }
}
