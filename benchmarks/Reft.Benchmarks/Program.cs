// Each benchmark prints its figures to stdout, with the machine they were measured on.
using Reft.Benchmarks;

var benchmarks = new (string Name, string Description, Action Run)[]
{
    ("matmul", "rate of fp32 and bf16 matrix products, the floor of every step", MatmulRate.Run),
};

foreach (var name in args.Length > 0 ? args : ["--help"])
{
    if (Array.Find(benchmarks, b => b.Name == name) is not { Name: not null } benchmark)
    {
        Console.Error.WriteLine("usage: dotnet run -c Release --project benchmarks/Reft.Benchmarks -- NAME…");
        foreach (var (known, description, _) in benchmarks)
        {
            Console.Error.WriteLine($"  {known,-12} {description}");
        }

        return name is "--help" or "-h" ? 0 : 1;
    }

    benchmark.Run();
}

return 0;
