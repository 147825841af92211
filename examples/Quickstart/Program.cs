// Teaches the small model of this repository a task with LoReFT, and shows before and after on rows it never saw.
//
//   dotnet fsi build.fsx quickstart
//
using System.Diagnostics;
using Quickstart;
using Reft;

var total = Stopwatch.StartNew();
var root = Repository.Root();
var output = Directory.CreateDirectory(Path.Combine(root, "artifacts", "quickstart")).FullName;
var adapter = Path.Combine(output, "adapter");

var train = TrainingData.FromJsonLines(Path.Combine(root, "examples", "data", "topics.train.jsonl"));
var heldOut = TrainingData.FromJsonLines(Path.Combine(root, "examples", "data", "topics.heldout.jsonl"));
var task = new TopicTask(heldOut);

// The base model, and what is to be trained: at the outputs of all layers, the first 7 and the last 7 tokens of the
// prompt are moved within 4 directions. The model's own weights never change.
using var model = ReftModel.Load(Path.Combine(root, "models", "base-3.8m"));
var spec = new ReftSpec().At(
    Sites.BlockOutput(Layers.All), Positions.First(7) + Positions.Last(7), Interventions.Loreft(rank: 4));

Console.WriteLine($"""
    The task: {train.Count} rows to train on, {heldOut.Count} held out; which of four topics is a sentence about?
    The answers are equally frequent: who always gives the same one is right in {task.BaseRate:P0}.

    Before
    """);
var before = task.Measure(model);
Console.WriteLine(before);
var answersBefore = task.Answers(model, TopicTask.Shown);

model.Attach(spec);
var described = model.Describe();
Console.WriteLine($"""

    Training {described.TrainableParameters:N0} parameters, {described.TrainablePercent:F2}% of the model's {described.BaseParameters:N0}
    """);

var options = new TrainingOptions { LearningRate = 2e-3, Epochs = 3, EvaluationData = heldOut };
var result = await model.FitAsync(train, options, new StepLines(every: 25));
Console.WriteLine($"{result.Duration.TotalSeconds:F0} s\n\nAfter");

var after = task.Measure(model);
Console.WriteLine(after);

var answersAfter = task.Answers(model, TopicTask.Shown);
foreach (var (row, was, now) in task.Rows.Take(TopicTask.Shown).Zip(answersBefore, answersAfter))
{
    Console.WriteLine($"""

        {row.Prompt}
          before: {Repository.Quoted(was)}
          after:  {Repository.Quoted(now)}
        """);
}

model.SaveAdapter(adapter);
LossCurve.Save(Path.Combine(output, "loss.png"), result);

// The adapter alone is all that was learnt: a fresh copy of the base model with it scores the same.
using var fresh = ReftModel.Load(Path.Combine(root, "models", "base-3.8m")).LoadAdapter(adapter);
var reloaded = task.Measure(fresh);
Console.WriteLine($"""

    The adapter:    {adapter} ({Repository.Bytes(adapter) / 1024.0:F0} KiB)
    Loaded again:   {(reloaded == after ? "the same score" : $"another score: {reloaded}")}
    The loss curve: {Path.Combine(output, "loss.png")}
    Altogether {total.Elapsed.TotalSeconds:F0} s
    """);

// A gain that a lucky run could have is no success.
return reloaded == after && after.Ranked >= before.Ranked + 0.2 ? 0 : 1;
