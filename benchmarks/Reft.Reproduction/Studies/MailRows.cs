using System.Text.Json;

namespace Reft.Reproduction;

/// <summary>The mails as rows for a language model, of token ids.</summary>
internal static class MailRows
{
    /// <summary>Mails and whether they are unwanted: of <c>spam</c>, or in a smoke test sentences and whether they are of the sea.</summary>
    public static RealTask Task(StudyContext context, int train, int test)
    {
        if (context.Scope != Scope.Smoke)
        {
            return RealTasks.Load("spam", context.Packages, train, test);
        }

        var (development, rest) = (Topics("heldout").Take(80), Topics("heldout").Skip(80));
        return new RealTask("smoke", SpamMail.Labels, [.. Topics("train").Take(train)], [.. development.Take(test)], [.. rest.Take(test)]);
    }

    /// <summary>A question whose answer is one token: the beginning of the mail, then <c>This mail is</c>, then good or bad.</summary>
    /// <param name="rows">The mails.</param>
    /// <param name="tokenizer">The model's.</param>
    /// <param name="tokens">How many tokens of the mail are read.</param>
    public static IReadOnlyList<(IReadOnlyList<int> Prompt, bool Spam)> Questions(IEnumerable<LabelledRow> rows, ModelTokenizer tokenizer, int tokens)
    {
        var suffix = tokenizer.EncodeCompletion("\nThis mail is");
        return [.. rows.Select(row => ((IReadOnlyList<int>)[.. tokenizer.EncodePrompt(row.Text!).Take(tokens), .. suffix], row.Label == "spam"))];
    }

    /// <summary>The answer's token.</summary>
    public static int Answer(ModelTokenizer tokenizer, bool spam) =>
        tokenizer.EncodeCompletion(spam ? " bad" : " good") is [var id]
            ? id
            : throw new InvalidDataException("the model's vocabulary has no token for ' bad' or ' good'");

    /// <summary>Mails that are long enough, as a prompt and what follows it.</summary>
    public static IReadOnlyList<TrainingExample> Continuations(
        IEnumerable<LabelledRow> rows, ModelTokenizer tokenizer, int prompt, int completion, int most) =>
    [
        .. rows
            .Select(row => tokenizer.EncodePrompt(row.Text!))
            .Where(ids => ids.Count >= prompt + completion)
            .Take(most)
            .Select(ids => TrainingExample.FromCompletion([.. ids.Take(prompt)], [.. ids.Skip(prompt).Take(completion)])),
    ];

    private static IEnumerable<LabelledRow> Topics(string part) =>
        from line in File.ReadLines(Path.Combine(Repository.Root(), "examples", "data", $"topics.{part}.jsonl"))
        let row = JsonSerializer.Deserialize<Dictionary<string, string>>(line)!
        select new LabelledRow { Text = row["prompt"], Label = row["completion"] == " sea" ? "spam" : "ham" };
}
