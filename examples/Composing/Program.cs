// Two adapters that were trained apart act together; one of them is switched off, and negated: the twin of composing.fsx. One
// edits the prompt and has learnt to name the topic of a sentence; the other edits what is generated and has learnt to end it
// with a word. Neither has seen the other.
//
//   dotnet run --project examples/Composing -c Release
//
using System.Text.Json;
using Reft;

const string Closing = ". Amen";
string root = Path.Combine(AppContext.BaseDirectory, "../../../../..");
string folder = Path.Combine(Path.GetTempPath(), $"reft-composing-{Guid.NewGuid():N}");
string topic = Path.Combine(folder, "topic"), closing = Path.Combine(folder, "closing");
(string Prompt, string Topic)[] train = Rows("topics.train.jsonl"), heldOut = [.. Rows("topics.heldout.jsonl").Take(80)];
(string Prompt, string Word)[] words =
[
    ("They prayed for the", " King"), ("He read to us from the", " book"), ("She told me of her", " father"),
    ("The end of all things is", " death"), ("We give thanks for the", " rain"), ("The hope of the world is", " peace"),
    ("They buried him in the", " ground"), ("I shall remember this", " day"),
];

using var model = ReftModel.Load(Path.Combine(root, "models", "base-3.8m"));
try
{
    // The first: edits of the prompt, where the topic is to be found. It learns the topic alone, and not what follows it.
    await TrainAsync(
        Positions.First(7) + Positions.Last(7),
        InterventionPhase.Prompt,
        train.Select(row => Example(row.Prompt, row.Topic, ends: false)),
        rate: 2e-3,
        steps: 75,
        topic);

    // The second: edits of what is generated. It learns to stop after the first word with a closing, whatever the word is.
    await TrainAsync(
        Positions.All,
        InterventionPhase.Decode,
        words.Select(row => Example(row.Prompt, row.Word + Closing, ends: true)),
        rate: 4e-3,
        steps: 40,
        closing);

    // Alone and together, on sentences that neither has seen. They act in this order, each on what the one before it left.
    Console.WriteLine("                       names topic    closes   of the first held-out sentence");
    var neither = Show("neither", model.Detach());
    var named = Show("topic", model.LoadAdapter(topic));
    var closed = Show("closing", model.LoadAdapter(closing));
    var both = Show("together", model.LoadAdapters([new(topic), new(closing)]));
    var off = Show("together, times 0", model.ScaleEdits(0));
    var half = Show("closing switched off", model.LoadAdapters([new(topic), new(closing) { Scale = 0 }]));
    var negated = Show("topic negated", model.LoadAdapters([new(topic) { Scale = -1 }, new(closing)]));

    Require("the first names the topic, and the second closes", named.Topic > 0.9 && closed.Closed > 0.5);
    Require("together they do both", both is { Topic: > 0.8, Closed: > 0.8 });
    Require("times 0 is the base model", off == neither);
    Require("without the second it is the first", half == named);
    Require("negated, the first names no topic", negated.Topic < 0.1);
    return 0;
}
finally
{
    if (Directory.Exists(folder))
    {
        Directory.Delete(folder, recursive: true);
    }
}

async Task TrainAsync(
    Positions positions, InterventionPhase phase, IEnumerable<TrainingExample> examples, double rate, int steps, string into)
{
    model.Attach(new ReftSpec().At(Sites.BlockOutput(Layers.All), positions, Interventions.Loreft(rank: 4), phase));
    await model.FitAsync(
        TrainingData.FromExamples(examples), new TrainingOptions { LearningRate = rate, MaxSteps = steps });
    model.SaveAdapter(into);
}

(double Topic, double Closed, string Said) Show(string name, ReftModel reft)
{
    var said = reft.GenerateBatch(heldOut.Select(row => row.Prompt), new GenerationOptions { MaxNewTokens = 8, BatchSize = 16 })
        .Select(result => result.Text!).ToArray();
    var names = heldOut.Zip(said).Average(pair => pair.Second.StartsWith(pair.First.Topic, StringComparison.Ordinal) ? 1.0 : 0.0);
    var closes = said.Average(text => text.EndsWith(Closing, StringComparison.Ordinal) ? 1.0 : 0.0);
    Console.WriteLine($"{name,-22}{names,12:P1}{closes,10:P1}   \"{said[0]}\"");
    return (names, closes, string.Concat(said));
}

TrainingExample Example(string prompt, string completion, bool ends) => TrainingExample.FromCompletion(
    model.Tokenizer!.EncodePrompt(prompt),
    [.. model.Tokenizer.EncodeCompletion(completion), .. ends ? model.Config.EosIds : []]);

(string, string)[] Rows(string file) =>
[
    .. File.ReadLines(Path.Combine(root, "examples", "data", file)).Select(line =>
    {
        using var json = JsonDocument.Parse(line);
        return (json.RootElement.GetProperty("prompt").GetString()!, json.RootElement.GetProperty("completion").GetString()!);
    }),
];

static void Require(string what, bool shown)
{
    if (!shown)
    {
        Console.Error.WriteLine($"this run did not show it: {what}");
        Environment.Exit(1);
    }
}
