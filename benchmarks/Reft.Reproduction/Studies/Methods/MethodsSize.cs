namespace Reft.Reproduction;

/// <summary>How much of a task is read.</summary>
/// <param name="Name">The task.</param>
/// <param name="TrainRows">The most rows to train on.</param>
/// <param name="Epochs">How often.</param>
/// <param name="MaxLength">Rows are cut to so many tokens.</param>
internal sealed record TaskSize(string Name, int TrainRows, int Epochs, int MaxLength);

/// <summary>How much of the comparison is run in a scope.</summary>
internal sealed record MethodsSize
{
    public required IReadOnlyList<TaskSize> Tasks { get; init; }

    public required IReadOnlyList<string> Methods { get; init; }

    /// <summary>The names of those of the tasks, and of the methods, that the larger model does too.</summary>
    public required IReadOnlyList<string> LargeTasks { get; init; }

    public required IReadOnlyList<string> LargeMethods { get; init; }

    /// <summary>A task with four times the epochs, to see whether a method was only slow; and the methods that are asked.</summary>
    public TaskSize? Longer { get; init; }

    public IReadOnlyList<string> LongerMethods { get; init; } = ["loreft", "loreft-all", "lora", "probe", "full"];

    /// <summary>The most rows of the development split, and of the test split.</summary>
    public required int HeldOutRows { get; init; }

    public required int Seeds { get; init; }

    public int BatchSize { get; init; } = 16;

    /// <summary>Where the interventions of the ReFT family edit.</summary>
    public string Positions { get; init; } = "f7+l7";

    /// <summary>The rank of the ReFT family.</summary>
    public int Rank { get; init; } = 4;

    public ModelDtype Dtype { get; init; } = ModelDtype.Fp32;

    public static MethodsSize Of(Scope scope) => scope switch
    {
        Scope.Smoke => new MethodsSize
        {
            Tasks = [new(SmokeTask.Name, 64, 2, 24)],
            Methods = ["loreft", "lora"],
            LargeTasks = [],
            LargeMethods = [],
            HeldOutRows = 32,
            BatchSize = 8,
            Seeds = 1,
        },
        Scope.Subset => new MethodsSize
        {
            Tasks = [new("spam", 800, 2, 48), new("union-era", 800, 2, 48), new("opinion-words", 2000, 2, 16)],
            Methods = AllMethods,
            LargeTasks = ["spam", "opinion-words"],
            LargeMethods = ["loreft", "direft", "lora", "probe", "full"],
            Longer = new("spam", 800, 8, 48),
            HeldOutRows = 500,
            BatchSize = 8,
            Seeds = 3,
        },
        _ => new MethodsSize
        {
            Tasks = [new("spam", 3000, 4, 96), new("union-era", 3000, 4, 96), new("opinion-words", 5000, 6, 16)],
            Methods = AllMethods,
            LargeTasks = ["spam", "union-era", "opinion-words"],
            LargeMethods = AllMethods,
            Longer = new("spam", 3000, 16, 96),
            HeldOutRows = 1000,
            Seeds = 5,
        },
    };

    private static string[] AllMethods => [.. ComparedMethods.All.Select(method => method.Name)];
}
