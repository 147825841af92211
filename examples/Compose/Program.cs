// A method that no paper has, built from parts in C# and compared with LoReFT at about as many parameters: the twin of
// compose.fsx.
//
//   dotnet run --project examples/Compose -c Release
//
using Reft;

// An edit of our own: Δ = v ⊙ tanh h, v = 0 at the start.
var shift = Interventions.FromFunc(
    "tanh-shift", new ParameterShapes { { "v", ParameterShapes.Width } }, (theta, h) => theta["v"] * h.tanh());

// Two edits of the same h add up, σ(w·h + b) says how much of them each token gets, and a learnt vector within two
// directions is added after them. In training, 5 % of the numbers of the whole change are dropped.
var composed = (Interventions.Loreft(rank: 2) + shift)
    .Gate(Interventions.SigmoidGate())
    .Then(Interventions.Lobireft(rank: 2))
    .Dropout(0.05);

var root = Root();
var train = TrainingData.FromJsonLines(Path.Combine(root, "examples", "data", "topics.train.jsonl"));
var heldOut = TrainingData.FromJsonLines(Path.Combine(root, "examples", "data", "topics.heldout.jsonl"));
var answers = heldOut.Rows.Select(row => row.Completion!).Distinct().ToArray();

using var model = ReftModel.Load(Path.Combine(root, "models", "base-3.8m"));
var (baseLoss, baseRight) = (model.Evaluate(heldOut, batchSize: 128), RightAnswers());

Console.WriteLine($"""
    composed = {composed}

                parameters  loss before  loss after  right of 4 answers
    base model{0,12}{baseLoss,13:F3}{baseLoss,12:F3}{baseRight,20:P1}
    """);
await Compare("LoReFT", Interventions.Loreft(rank: 4));
var loss = await Compare("composed", composed);

// It is saved as data, and reloads where its own part is known.
var folder = Path.Combine(root, "artifacts", "compose");
model.SaveAdapter(folder);
model.Detach().LoadAdapter(folder, new InterventionRegistry { shift });
var reloaded = model.Evaluate(heldOut, batchSize: 128);
Console.WriteLine($"\nSaved and loaded again, its loss is the same: {reloaded == loss}");
return reloaded == loss && loss < baseLoss ? 0 : 1;

// Trains one method, prints a line of the table, and gives the loss of a token on held-out rows.
async Task<double> Compare(string name, ReftIntervention method)
{
    model.Detach().Attach(new ReftSpec().At(
        Sites.BlockOutput(Layers.All), Positions.First(7) + Positions.Last(7), method));
    var before = model.Evaluate(heldOut, batchSize: 128);
    await model.FitAsync(train, new TrainingOptions { LearningRate = 2e-3, Epochs = 1 });
    var after = model.Evaluate(heldOut, batchSize: 128);
    Console.WriteLine(
        $"{name,-10}{model.Describe().TrainableParameters,12:N0}{before,13:F3}{after,12:F3}{RightAnswers(),20:P1}");
    return after;
}

// The share of the held-out rows whose answer is the likeliest of the four; all of them are one token long.
double RightAnswers() => model
    .Score(heldOut.Rows.SelectMany(row => answers.Select(answer => row with { Completion = answer })), batchSize: 128)
    .Chunk(answers.Length)
    .Zip(heldOut.Rows, (scores, row) =>
        answers[Enumerable.Range(0, scores.Length).MinBy(i => scores[i].Loss)] == row.Completion)
    .Average(right => right ? 1.0 : 0.0);

// The folder above the program's own that holds the base model.
static string Root()
{
    for (var folder = new DirectoryInfo(AppContext.BaseDirectory); folder is not null; folder = folder.Parent)
    {
        if (File.Exists(Path.Combine(folder.FullName, "models", "base-3.8m", "config.json")))
        {
            return folder.FullName;
        }
    }

    throw new DirectoryNotFoundException($"no folder above {AppContext.BaseDirectory} holds models/base-3.8m");
}
