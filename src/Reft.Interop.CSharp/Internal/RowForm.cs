namespace Reft.Internal;

/// <summary>Which fields a row may have together.</summary>
internal static class RowForm
{
    /// <summary>The row itself, or an error that names the field.</summary>
    public static DataRow Check(RowUse use, DataRow row, string source)
    {
        string[] starts =
        [
            .. row.Prompt is null ? Array.Empty<string>() : ["prompt"],
            .. row.Text is null ? Array.Empty<string>() : ["text"],
            .. row.InputIds is null ? Array.Empty<string>() : ["input_ids"],
            .. row.Messages is null ? Array.Empty<string>() : ["messages"],
        ];

        if (row.Subspaces is { } subspaces)
        {
            CheckSubspaces(subspaces, source);
        }

        switch (starts)
        {
            case ["prompt"]:
                if (use != RowUse.Generate && row.Completion is null)
                {
                    throw Refuse(source, "completion", "expected beside 'prompt', found none");
                }

                NoField(source, "labels", row.Labels is null);
                NoField(source, "prompt_length", row.PromptLength is null);
                return row;

            case ["input_ids"]:
                if (use == RowUse.Train && row.Labels is null && row.PromptLength is null)
                {
                    throw Refuse(source, "labels", "expected beside 'input_ids' (or 'prompt_length', after which every token is scored), found none");
                }

                NoField(source, "completion", row.Completion is null, "prompt");
                return row;

            case ["messages"]:
                NoField(source, "completion", row.Completion is null, "prompt");
                NoField(source, "labels", row.Labels is null);
                NoField(source, "prompt_length", row.PromptLength is null);
                return row;

            case ["text"] when use == RowUse.Score:
                NoField(source, "completion", row.Completion is null, "prompt");
                NoField(source, "labels", row.Labels is null);
                NoField(source, "prompt_length", row.PromptLength is null);
                return row;

            case [var first, var second, ..]:
                throw Refuse(source, second, $"found beside '{first}': expected only one of them in a row");

            default:
                var found = starts is [] ? "none of them" : $"'{starts[0]}'";
                throw RowError.Of(source, null, $"expected {Expected(use)}, found {found}");
        }
    }

    public static InvalidDataException Refuse(string source, string field, string problem) => RowError.Of(source, field, problem);

    public static void CheckSubspaces(IReadOnlyList<int> subspaces, string source)
    {
        for (var i = 0; i < subspaces.Count; i++)
        {
            if (subspaces[i] < 0)
            {
                throw Refuse(source, $"subspaces[{i}]", $"expected the number of a subspace, 0 or more, found {subspaces[i]}");
            }

            if (subspaces.Take(i).Contains(subspaces[i]))
            {
                throw Refuse(source, $"subspaces[{i}]", $"expected each subspace once, found {subspaces[i]} again");
            }
        }

        if (subspaces is [])
        {
            throw Refuse(source, "subspaces", "it is empty: leave it out where all subspaces act");
        }
    }

    private static void NoField(string source, string field, bool absent, string owner = "input_ids")
    {
        if (!absent)
        {
            throw Refuse(source, field, $"it belongs to rows of '{owner}', and this row has none");
        }
    }

    private static string Expected(RowUse use) =>
        use switch
        {
            RowUse.Train => "the fields 'prompt' and 'completion', or 'input_ids' and 'labels', or 'messages'",
            RowUse.Generate => "the field 'prompt' or 'input_ids' or 'messages'",
            _ => "the fields 'prompt' and 'completion', or 'input_ids', or 'text', or 'messages'",
        };
}
