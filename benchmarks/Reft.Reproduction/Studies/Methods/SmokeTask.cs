namespace Reft.Reproduction;

/// <summary>Invented rows for the smoke scope: sentences about the sea, or about the law.</summary>
internal static class SmokeTask
{
    public const string Name = "invented";

    private static readonly string[] Labels = ["law", "sea"];

    private static readonly string[][] Subjects =
    [
        ["the judge", "the court", "the lawyer", "the senator", "the clerk"],
        ["the captain", "the whale", "the sailor", "the harpooner", "the mate"],
    ];

    private static readonly string[][] Acts =
    [
        ["read the statute", "passed the bill", "signed the act", "heard the case", "weighed the evidence"],
        ["struck the sail", "watched the waves", "lowered the boat", "held the wheel", "rode out the gale"],
    ];

    public static RealTask Create(int train, int heldOut)
    {
        var rows =
            from time in new[] { "in the morning", "at noon", "before dark", "that night", "in silence", "with care", "at last" }
            from subject in Enumerable.Range(0, Subjects[0].Length)
            from act in Enumerable.Range(0, Acts[0].Length)
            from label in new[] { 0, 1 }
            select new LabelledRow { Text = $"{Subjects[label][subject]} {Acts[label][act]} {time}.", Label = Labels[label] };
        LabelledRow[] all = [.. rows];
        new Random(1).Shuffle(all);
        return new RealTask(Name, Labels, all[..train], all[train..(train + heldOut)], all[(train + heldOut)..(train + (2 * heldOut))]);
    }
}
