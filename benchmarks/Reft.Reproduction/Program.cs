using Reft.Reproduction;

foreach (string line in RealTasks.Describe(args[0]))
{
    Console.WriteLine(line);
}

foreach (string name in RealTasks.Names)
{
    foreach (var row in RealTasks.Load(name, args[0], 14, 14).Train)
    {
        Console.WriteLine($"{row.Label}\t{row.Text}");
    }
}
