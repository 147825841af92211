namespace Reft.Reproduction;

/// <summary>How much of the comparison is run in a scope.</summary>
internal sealed record MethodsSize
{
    public required IReadOnlyList<string> Tasks { get; init; }

    public required IReadOnlyList<string> Methods { get; init; }

    /// <summary>Of the larger model, both a part of the above.</summary>
    public required IReadOnlyList<string> LargeTasks { get; init; }

    public required IReadOnlyList<string> LargeMethods { get; init; }

    public required int TrainRows { get; init; }

    /// <summary>The most rows of the development split, and of the test split.</summary>
    public required int HeldOutRows { get; init; }

    public required int MaxLength { get; init; }

    public required int Epochs { get; init; }

    public required int BatchSize { get; init; }

    public required int Seeds { get; init; }

    /// <summary>Where the interventions of the ReFT family edit.</summary>
    public string Positions { get; init; } = "f7+l7";

    /// <summary>The rank of the ReFT family.</summary>
    public int Rank { get; init; } = 4;

    public ModelDtype Dtype { get; init; } = ModelDtype.Bf16;

    public static MethodsSize Of(Scope scope) => scope switch
    {
        Scope.Smoke => new MethodsSize
        {
            Tasks = [SmokeTask.Name],
            Methods = ["loreft", "lora"],
            LargeTasks = [],
            LargeMethods = [],
            TrainRows = 64,
            HeldOutRows = 32,
            MaxLength = 24,
            Epochs = 2,
            BatchSize = 8,
            Seeds = 1,
        },
        Scope.Subset => new MethodsSize
        {
            Tasks = ["spam", "union-era", "opinion-words"],
            Methods = [.. ComparedMethods.All.Select(method => method.Name)],
            LargeTasks = ["spam", "union-era", "opinion-words"],
            LargeMethods = ["loreft", "direft", "lora", "probe", "full"],
            TrainRows = 640,
            HeldOutRows = 500,
            MaxLength = 64,
            Epochs = 3,
            BatchSize = 16,
            Seeds = 3,
        },
        _ => new MethodsSize
        {
            Tasks = ["spam", "union-era", "opinion-words"],
            Methods = [.. ComparedMethods.All.Select(method => method.Name)],
            LargeTasks = ["spam", "union-era", "opinion-words"],
            LargeMethods = [.. ComparedMethods.All.Select(method => method.Name)],
            TrainRows = 3000,
            HeldOutRows = 1000,
            MaxLength = 192,
            Epochs = 4,
            BatchSize = 16,
            Seeds = 5,
        },
    };
}
