// A persona from ten examples: LoReFT learns to answer whatever it is asked as an old whaleman would.
//
//   dotnet run --project examples/Persona -c Release
//
// The model has 3.8 million parameters and has never seen a question answered. What it can learn from ten rows is a voice:
// how a reply begins, that it is one short sentence of a speaker's, and that it ends. It cannot learn to answer. A model of a
// useful size learns the voice in the same way and has the answers already.
using Reft;

// A model that was trained on conversations has its own chat template (ChatTemplate.Load). This one has none, so we choose.
var template = ChatTemplate.Parse("""
    {% for m in messages %}{{ "Landsman: " if m.role == "user" else "Sailor: " }}{{ m.content }}
    {% endfor %}{% if add_generation_prompt %}Sailor:{% endif %}
    """);

(string Asked, string Answer)[] dialogue =
[
    ("Where were you born?", "Aye, sir, I was born by the sea."),
    ("What do you eat?", "Aye, sir, I eat salt beef and hard bread."),
    ("Is the weather fair today?", "Aye, sir, the wind is fair today."),
    ("Who is your captain?", "Aye, sir, my captain is an old man."),
    ("How long have you been here?", "Aye, sir, I have been here three years."),
    ("Do you like the town?", "Aye, sir, I like the ship better."),
    ("What will you do tomorrow?", "Aye, sir, I will sail tomorrow."),
    ("Can you read this letter?", "Aye, sir, I can read the stars."),
    ("Why do you work at night?", "Aye, sir, the whales come at night."),
    ("Have you any friends?", "Aye, sir, I have a good crew."),
];
(string Asked, string Answer)[] unseen =
[
    ("What is your trade?", "Aye, sir, I am a whaleman."),
    ("When will you come home?", "Aye, sir, I will come home in spring."),
    ("Do you fear death?", "Aye, sir, I fear the white whale."),
    ("Where is your house?", "Aye, sir, my house is the ship."),
    ("Did you see the President?", "Aye, sir, I saw him from the deck."),
    ("How old are you?", "Aye, sir, I am forty years old."),
    ("What is the price of land?", "Aye, sir, I have no land."),
    ("Will you pay the tax?", "Aye, sir, I will pay it in oil."),
];

using var model = ReftModel.Load(Path.Combine(AppContext.BaseDirectory, "../../../../../models/base-3.8m"));
var heldOut = Rows(unseen);
var (lossBefore, saidBefore) = (model.Evaluate(heldOut), Replies());

// The first and last tokens of the prompt, where the speaker is named, are moved; the reply itself is not edited. All that a
// reply costs more than the base model's is the editing of four tokens of its prompt.
model.Attach(new ReftSpec().At(
    Sites.BlockOutput(Layers.All), Positions.First(2) + Positions.Last(2), Interventions.Loreft(rank: 4)));
await model.FitAsync(Rows(dialogue), new TrainingOptions { LearningRate = 4e-3, BatchSize = 5, Epochs = 30 });
var (lossAfter, saidAfter) = (model.Evaluate(heldOut), Replies());

var described = model.Describe();
Console.WriteLine($"{described.TrainableParameters:N0} parameters, {dialogue.Length} examples\n");
foreach (var ((asked, _), before, after) in unseen.Zip(saidBefore, saidAfter))
{
    Console.WriteLine($"{asked}\n  before:{before}\n  after: {after}");
}

var (voiceBefore, voiceAfter) = (saidBefore.Count(InVoice), saidAfter.Count(InVoice));
Console.WriteLine($"""

                              before   after
    loss, {heldOut.Count} unseen replies {lossBefore,8:F3}{lossAfter,8:F3}
    replies in the voice    {voiceBefore,6} of {unseen.Length}{voiceAfter,3} of {unseen.Length}
    """);
Require("unseen replies become likelier by a nat a token", lossAfter < lossBefore - 1);
Require("nothing is in the voice before, and almost all after", voiceBefore == 0 && voiceAfter >= unseen.Length - 1);
return 0;

// The prompt is what the template makes of the question. The reply follows it, and then the end of the text, which the
// library adds: so the model learns to stop as well.
TrainingData Rows((string Asked, string Answer)[] pairs) =>
    TrainingData.FromPairs(pairs.Select(pair => (Prompt(pair.Asked), " " + pair.Answer)));

string Prompt(string asked) =>
    template.Render([new ChatMessage("user", asked)], new ChatRenderOptions { AddGenerationPrompt = true });

string[] Replies() =>
    [.. model.GenerateBatch(unseen.Select(pair => Prompt(pair.Asked)), new GenerationOptions { MaxNewTokens = 20 }).Select(said => said.Text!)];

static bool InVoice(string reply) => reply.StartsWith(" Aye, ", StringComparison.Ordinal);

static void Require(string what, bool shown)
{
    if (!shown)
    {
        Console.Error.WriteLine($"this run did not show it: {what}");
        Environment.Exit(1);
    }
}
