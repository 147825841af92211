using System.CommandLine;

var root = new RootCommand("Representation finetuning (ReFT) for .NET: train, run, score and inspect adapters.");

return await root.Parse(args).InvokeAsync();
