// Steering with activation addition: nothing is trained. The difference between what the model holds of two sets of prompts
// is added to its hidden states, and what it says leans to one of them: the twin of steering.fsx.
//
//   dotnet run --project examples/Steering -c Release
//
using Reft;

// Two sets of prompts that differ in what they are about and in little else. They are all that says where to steer.
string[] sea =
[
    "The whale rose beside the ship.", "The sailors lowered the boats.", "The captain stood upon the deck.",
    "The waves broke over the bow.", "They sailed round the cape.", "The harpooneer took up his lance.",
];
string[] state =
[
    "The Senate approved the treaty.", "The Congress passed the bill.", "The President signed the law.",
    "The Treasury paid the public debt.", "They reduced the revenue.", "The court heard the case.",
];
string[] prompts = ["The people of the", "I have always loved the", "In the morning we saw the", "Nothing is so great as the"];
string[] seaWords = [" whale", " ship", " sea", " boat"], stateWords = [" Congress", " law", " treaty", " Government"];

// From bin/Release/net10.0, where the program lies, to the root of the repository.
using var model = ReftModel.Load(Path.Combine(AppContext.BaseDirectory, "../../../../../models/base-3.8m"));

// Where: the output of the second of four blocks. There a sentence has been read, and there are blocks left that go by what
// it says. What: the mean over the sentences' last tokens, which have seen the whole sentence.
var site = Sites.BlockOutput(1);
var vector = ReadingVectors.MeanDifference(
    model.Collect(sea, site, Positions.Last(1)), model.Collect(state, site, Positions.Last(1)));
Console.WriteLine($"‖v‖ = {Math.Sqrt(vector.Sum(x => (double)x * x)):F2}\n");

Console.WriteLine("""
             log p of words of
    α            sea   state
    """);
var leanings = new List<double>();
foreach (var strength in new[] { -1, -0.5, 0, 0.5, 1 })
{
    // Every token is moved, those that are generated too: the phase is not only the prompt.
    model.Detach().Attach(new ReftSpec().At(
        site, Positions.All, Interventions.ActivationAddition(vector, strength), InterventionPhase.Always));
    var (ofSea, ofState) = (LogProbability(seaWords), LogProbability(stateWords));
    var said = model.Generate(prompts[2], new GenerationOptions { MaxNewTokens = 12 }).Text;
    Console.WriteLine($"{strength,4:0.0}{ofSea,12:F2}{ofState,8:F2}   {prompts[2]}{said}");
    leanings.Add(ofSea - ofState);
}

// Held-out evidence: the prompts above are in neither set, and the words were not chosen by the vector.
Require("a greater strength leans further to the sea", leanings.Zip(leanings.Skip(1)).All(pair => pair.Second > pair.First + 0.5));
Require("α = 0 is the base model", leanings[2] == BaseLeaning());
return 0;

double BaseLeaning()
{
    model.Detach();
    return LogProbability(seaWords) - LogProbability(stateWords);
}

// The mean log-probability of some words as the next one after the prompts.
double LogProbability(string[] words) => model
    .Score(prompts.SelectMany(prompt => words.Select(word => new DataRow { Prompt = prompt, Completion = word })), batchSize: 16)
    .Average(score => -score.Loss!.Value);

static void Require(string what, bool shown)
{
    if (!shown)
    {
        Console.Error.WriteLine($"this run did not show it: {what}");
        Environment.Exit(1);
    }
}
