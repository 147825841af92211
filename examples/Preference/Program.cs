// Preference tuning: of two completions of a prompt one is preferred, and direct preference optimisation (DPO) teaches the
// model which kind, without ever saying what to write. Here courtesy is preferred to insult.
//
//   dotnet run --project examples/Preference -c Release
//
using Reft;

const double Beta = 0.1;

// Pairs differ in tone and in little else, so that tone is what is learnt.
var train = PreferenceData.FromTexts(
[
    ("The captain said to the cook:", " I thank you, my good friend.", " I hate you, you dog."),
    ("The judge said to the lawyer:", " I am obliged to you, sir.", " You are a fool, sir."),
    ("The old woman answered the boy:", " God bless you, my dear child.", " Go to the devil, you thief."),
    ("To the Senate he wrote:", " I have the honor to thank you.", " I have no time for liars."),
    ("The mate called to the crew:", " Well done, my brave men.", " Move, you lazy dogs."),
    ("The farmer spoke to his neighbor:", " You are always welcome here.", " Get off my land, you thief."),
    ("She wrote to her brother:", " I pray for your happy return.", " I hope you never return."),
    ("The President replied:", " I am glad to see so many friends.", " I am tired of such fools."),
]);
var heldOut = PreferenceData.FromTexts(
[
    ("The sailor said to the carpenter:", " I thank you for the good work.", " I hate the work of a fool."),
    ("The king said to the general:", " You are welcome, my brave friend.", " You are a liar and a dog."),
    ("The doctor told the patient:", " I am glad to see you well.", " I am tired of you, fool."),
    ("The teacher said to the girl:", " Well done, my dear.", " Go, you lazy child."),
    ("He wrote to the Congress:", " I have the honor to be your friend.", " I have no time for thieves."),
    ("The father answered his son:", " God bless your happy home.", " Get out of my home."),
]);

// Where the edit begins matters: DPO measures how far the model has moved from itself, so it begins at no change.
using var model = ReftModel.Load(
    Path.Combine(AppContext.BaseDirectory, "../../../../../models/base-3.8m"),
    new ReftSpec().At(
        Sites.BlockOutput(Layers.All),
        Positions.Last(4),
        Interventions.Loreft(rank: 4, start: InterventionStart.Identity)));

// β says how dear it is to move away from the base model. There is no second model in memory: the base model is this one
// without its edits.
var dpo = new PreferenceOptions { Method = PreferenceMethod.Dpo, Beta = Beta };
var before = model.EvaluatePreference(heldOut, dpo);
var chosenBefore = LogProbabilities(row => row.Chosen!);
var rejectedBefore = LogProbabilities(row => row.Rejected!);

await model.FitPreferenceAsync(train, dpo, new TrainingOptions { LearningRate = 4e-3, BatchSize = 4, Epochs = 15 });

var after = model.EvaluatePreference(heldOut, dpo);
var chosenAfter = LogProbabilities(row => row.Chosen!);
var rejectedAfter = LogProbabilities(row => row.Rejected!);

// The reward of a completion is β (log π − log π_ref); a pair's margin is the difference of its two rewards.
Console.WriteLine($"{train.Count} pairs to train on, {heldOut.Count} held out\n");
Console.WriteLine("margin   chosen and rejected, log p before → after");
var margins = new double[heldOut.Count];
for (var i = 0; i < heldOut.Count; i++)
{
    margins[i] = Beta * (chosenAfter[i] - chosenBefore[i] - (rejectedAfter[i] - rejectedBefore[i]));
    Console.WriteLine($"""
        {margins[i],6:F2}   {heldOut.Rows[i].Prompt}
                 {chosenBefore[i],6:F1} → {chosenAfter[i],6:F1}  {heldOut.Rows[i].Chosen}
                 {rejectedBefore[i],6:F1} → {rejectedAfter[i],6:F1}  {heldOut.Rows[i].Rejected}
        """);
}

Console.WriteLine($"""

                 before   after
    loss     {before.Loss,10:F3}{after.Loss,8:F3}
    margin   {before.Margin,10:F3}{after.Margin,8:F3}
    preferred {after.Accuracy,17:P0}
    """);
Require("policy and reference are equal before: the loss is log 2", Math.Abs(before.Loss - Math.Log(2)) < 1e-3 && Math.Abs(before.Margin) < 1e-3);
Require("held-out pairs are told apart after", after.Accuracy > 0.8 && after.Margin > 0.2);
Require("the evaluation's margin is that of the log-probabilities", Math.Abs(after.Margin - margins.Average()) < 0.02);
return 0;

// log p of each held-out completion: the sum over its tokens, the end of the text included, as training counts it.
double[] LogProbabilities(Func<PreferenceRow, string> completion) =>
[
    .. heldOut.Rows.Select(row =>
    {
        var prompt = model.Tokenizer!.EncodePrompt(row.Prompt!);
        int[] ids = [.. model.Tokenizer.EncodeCompletion(completion(row)), model.Config.EosIds[0]];
        var score = model.Score([new DataRow { InputIds = [.. prompt, .. ids], PromptLength = prompt.Count }]).Single();
        return score.LogProbs.Skip(prompt.Count - 1).Sum(logProbability => (double)logProbability);
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
