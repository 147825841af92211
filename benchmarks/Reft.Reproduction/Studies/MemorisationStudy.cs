using System.Globalization;
using ScottPlot;

namespace Reft.Reproduction;

/// <summary>
/// How many tokens an edit of a prompt recalls, as in the paper's appendix F: rank 1, at the last token of a short prompt, one
/// layer. What holds less than the paper's models do is tried at all layers and at five tokens too.
/// </summary>
/// <remarks>
/// One run is a model, a kind of text, a method and a place; it learns a text of each length. The learning rate is the best of
/// some on the text of <see cref="RateLength"/> tokens: what is asked is how much an edit can hold, and nothing generalises.
/// </remarks>
internal sealed class MemorisationStudy : IStudy
{
    private const int RateLength = 8;
    private const string Prompt = "Recite the passage:";

    private static readonly (string Key, string Shown)[] Texts =
    [
        ("seen", "Moby Dick, seen in pretraining"),
        ("held-out", "Moby Dick, held out"),
        ("union-held-out", "State of the Union, held out"),
        ("random", "random tokens"),
    ];

    /// <summary>Where the edits are: layers, or all; how many of the prompt's last tokens, each with parameters of its own.</summary>
    private sealed record Place(string Layers, int Tokens, int Rank);

    /// <summary>What one way of editing held of one text, over seeds.</summary>
    private sealed record Held(string Model, string Text, string Method, Place Place, IReadOnlyList<FinishedRun> Runs);

    public string Name => "memorisation";

    public string Version => "1";

    public IEnumerable<PlannedRun> Plan(StudyContext context)
    {
        if (context.Scope == Scope.Smoke)
        {
            return [new PlannedRun(Key(StudyContext.Base, "random", "consreft", new("1", 1, 1), 1, "2,4", "0.03", 20))];
        }

        var full = context.Scope == Scope.Full;
        var lengths = full ? "2,4,8,16,32,64,128,256" : "2,4,8,16,32";
        var rates = full ? "0.01,0.03,0.1,0.3" : "0.03,0.1";
        var steps = full ? 1500 : 200;
        return
        [
            .. from model in context.Models
               let layers = ModelShape.Layers(context.Folders[model])
               from text in Texts
               where full || text.Key != "union-held-out"
               from way in Ways(layers)
               where full || model == StudyContext.Base || way is { Method: "consreft", Place: { Rank: 1, Layers: "0" or "all" } }
               from seed in Enumerable.Range(1, full ? 5 : model == StudyContext.Base ? 2 : 1)
               select new PlannedRun(
                   Key(model, text.Key, way.Method, way.Place, seed, lengths, rates, steps),
                   seed > 1 ? 4 : model == StudyContext.Base ? 1 : 3),
        ];
    }

    // The paper's place at each layer; then what adds to it.
    private static IEnumerable<(string Method, Place Place)> Ways(int layers) =>
    [
        .. Enumerable.Range(0, layers).Select(layer => ("consreft", new Place($"{layer}", 1, 1))),
        ("loreft", new Place("0", 1, 1)),
        ("consreft", new Place("0", 1, 16)),
        ("consreft", new Place("all", 1, 1)),
        ("consreft", new Place("0", 5, 1)),
        ("consreft", new Place("all", 5, 1)),
    ];

    public async Task<RunResult> RunAsync(RunKey key, StudyContext context, CancellationToken stop)
    {
        using var model = ReftModel.Load(context.Folders[key.Model]);
        IReadOnlyList<int> prompt = model.Tokenizer!.EncodePrompt(Prompt);
        int[] lengths = [.. key["lengths"].Split(',').Select(int.Parse)];
        var text = TextOf(key, context, model.Tokenizer, lengths.Max());
        var spec = new ReftSpec().At(
            Sites.BlockOutput(Layers.Parse(key["layers"])),
            Positions.At([.. Enumerable.Range(prompt.Count - key.Count("tokens"), key.Count("tokens"))]),
            Interventions.Named(key.Method, [new("rank", key["rank"])]),
            tying: ParameterTying.EachPosition);
        var right = Right(model, prompt, text);
        var numbers = lengths.ToDictionary(length => $"base_share_{length}", length => Share(right.Take(length)));
        double rate = await BestRateAsync().ConfigureAwait(false);
        numbers["lr"] = rate;
        foreach (int length in lengths)
        {
            var (result, steps) = await FitAsync(length, rate).ConfigureAwait(false);
            int recalled = Recalled(model, prompt, text, length);
            numbers[$"recalled_{length}"] = recalled;
            numbers[$"share_{length}"] = recalled == length ? 1 : Share(Right(model, prompt, [.. text.Take(length)]));
            numbers[$"loss_{length}"] = result.FinalLoss ?? double.NaN;
            numbers[$"steps_{length}"] = steps;
            numbers["parameters"] = result.TrainableParameters;
        }

        return new RunResult { Numbers = numbers };

        async Task<double> BestRateAsync()
        {
            var (best, least) = (0.0, double.PositiveInfinity);
            foreach (double rate in key["rates"].Split(',').Select(rate => double.Parse(rate, CultureInfo.InvariantCulture)))
            {
                var (result, steps) = await FitAsync(Math.Min(RateLength, lengths.Max()), rate).ConfigureAwait(false);

                // A run that ended early was done sooner, not worse.
                double found = result.Cancelled ? -1.0 / steps : result.FinalLoss ?? double.PositiveInfinity;
                (best, least) = found < least ? (rate, found) : (best, least);
            }

            return best;
        }

        async Task<(TrainingResult Result, int Steps)> FitAsync(int length, double rate)
        {
            model.Attach(spec, key.Seed);
            using var enough = CancellationTokenSource.CreateLinkedTokenSource(stop);

            // A token that is not the likeliest costs ln 2 at least: below that in all, every one is right.
            StopAt progress = new(0.6 / length, enough);
            var result = await model.FitAsync(
                TrainingData.FromExamples([TrainingExample.FromCompletion(prompt, [.. text.Take(length)])]),
                new TrainingOptions { LearningRate = rate, MaxSteps = key.Count("steps"), BatchSize = 1, WarmupRatio = 0.02, Seed = key.Seed },
                progress,
                enough.Token).ConfigureAwait(false);
            stop.ThrowIfCancellationRequested();
            return (result, progress.Steps);
        }
    }

    public void Report(ReportPage page, StudyContext context)
    {
        // What is planned, finished or not, so that a table says what was not run.
        var wanted = Plan(context).Select(run => run.Key).ToList();
        int[] lengths = [.. wanted.SelectMany(key => key["lengths"].Split(',')).Select(int.Parse).Distinct().Order()];
        var groups = wanted
            .GroupBy(key => (key.Model, key.Task, key.Method, Layers: key["layers"], Tokens: key.Count("tokens"), Rank: key.Count("rank")))
            .OrderBy(group => group.Key.Model).ThenBy(group => Array.FindIndex(Texts, text => text.Key == group.Key.Task))
            .ThenBy(group => group.Key.Method).ThenBy(group => group.Key.Rank).ThenBy(group => group.Key.Tokens)
            .ThenBy(group => group.Key.Layers, StringComparer.Ordinal)
            .Select(group => new Held(group.Key.Model, group.Key.Task, group.Key.Method, new Place(group.Key.Layers, group.Key.Tokens, group.Key.Rank), [.. group.Select(context.Find).OfType<FinishedRun>()]))
            .ToList();
        string[] lead = ["model", "text", "method", "layers", "tokens edited"];
        page.Table(
            "memorisation",
            [.. lead, "parameters", .. lengths.Select(length => $"of {length}")],
            groups.Select(group => (IReadOnlyList<string>)
            [
                .. Lead(group),
                Spread.Of(group.Runs.Take(1).Select(run => run["parameters"])).Show("#,0"),
                .. lengths.Select(length => Spread.Of(group.Runs.Select(run => run[$"recalled_{length}"])).Show("0.#")),
            ]));
        page.Table(
            "memorisation-share",
            [.. lead, .. lengths.Select(length => $"of {length}")],
            groups.Select(group => (IReadOnlyList<string>)
            [
                .. Lead(group),
                .. lengths.Select(length => Spread.Of(group.Runs.Select(run => run[$"share_{length}"])).Show("0", 100)),
            ]).Concat(groups.GroupBy(group => (group.Model, group.Text)).Select(same => (IReadOnlyList<string>)
            [
                same.Key.Model,
                Shown(same.Key.Text),
                "no edit",
                "",
                "",
                .. lengths.Select(length => Spread.Of(same.MaxBy(group => group.Runs.Count)!.Runs.Select(run => run[$"base_share_{length}"])).Show("0", 100)),
            ])));

        foreach (var ofModel in groups.Where(group => group is { Method: "consreft", Place.Rank: 1, Runs.Count: > 0 }).GroupBy(group => group.Model))
        {
            // The longest prefix of any length; a bar for each place, the texts beside each other.
            string[] places = [.. ofModel.Select(group => PlaceOf(group.Place)).Distinct()];
            Plot plot = new();
            var texts = ofModel.GroupBy(group => group.Text).ToList();
            foreach (var (i, ofText) in texts.Index())
            {
                var bars = plot.Add.Bars(
                    ofText.Select(group => Array.IndexOf(places, PlaceOf(group.Place)) + ((i - ((texts.Count - 1) / 2.0)) * 0.8 / texts.Count)).ToArray(),
                    ofText.Select(group => group.Runs.Average(Most)).ToArray());
                bars.LegendText = Shown(ofText.Key);
                foreach (var bar in bars.Bars)
                {
                    bar.Size = 0.8 / texts.Count;
                }
            }

            plot.Axes.Bottom.TickGenerator = new ScottPlot.TickGenerators.NumericManual(
                Enumerable.Range(0, places.Length).Select(place => (double)place).ToArray(), places);
            plot.Axes.Margins(bottom: 0);
            plot.YLabel("tokens recalled before the first error, at most");
            plot.Title($"Rank-1 ConsReFT, {ofModel.Key}: what an edit of the prompt recalls");
            plot.ShowLegend(Alignment.UpperLeft);
            page.Picture($"memorisation-{ofModel.Key}", plot);
        }

        static IReadOnlyList<string> Lead(Held group) =>
        [
            group.Model,
            Shown(group.Text),
            $"{(group.Method == "consreft" ? "ConsReFT" : "LoReFT")}, rank {group.Place.Rank}",
            group.Place.Layers,
            group.Place.Tokens == 1 ? "the last" : $"the last {group.Place.Tokens}",
        ];

        static string PlaceOf(Place place) =>
            $"{(place.Layers == "all" ? "all layers" : $"layer {place.Layers}")},\n{(place.Tokens == 1 ? "1 token" : $"{place.Tokens} tokens")}";

        double Most(FinishedRun run) => lengths.Select(length => run[$"recalled_{length}"]).Where(double.IsFinite).Max();

        static string Shown(string text) => Texts.First(known => known.Key == text).Shown;
    }

    private static RunKey Key(string model, string text, string method, Place place, int seed, string lengths, string rates, int steps) =>
        RunKey.Of(
            "memorisation", model, text, method, seed,
            ("layers", place.Layers), ("tokens", $"{place.Tokens}"), ("rank", $"{place.Rank}"), ("lengths", lengths), ("rates", rates), ("steps", $"{steps}"));

    private static IReadOnlyList<int> TextOf(RunKey key, StudyContext context, ModelTokenizer tokenizer, int count)
    {
        int seed = (int)key.Seed;
        return key.Task switch
        {
            "random" => MobyDick.RandomTokens(tokenizer, count, seed),
            "seen" => MobyDick.Tokens(Texts().Seen.Skip(seed * 100), tokenizer, count),
            "held-out" => MobyDick.Tokens(Texts().HeldOut.Skip(seed), tokenizer, count),
            "union-held-out" => MobyDick.Tokens(Texts().UnionHeldOut.Skip(seed * 10), tokenizer, count),
            _ => throw new ArgumentException($"there is no text '{key.Task}'"),
        };

        MobyDick Texts() => MobyDick.Read(context.Packages);
    }

    // Greedy decoding from the prompt alone: the tokens before the first that is wrong.
    private static int Recalled(ReftModel model, IReadOnlyList<int> prompt, IReadOnlyList<int> text, int length)
    {
        var said = model.Generate(prompt, new GenerationOptions { MaxNewTokens = length, IgnoreEos = true }).TokenIds;
        return said.Zip(text).TakeWhile(pair => pair.First == pair.Second).Count();
    }

    // Teacher forcing: after the right tokens so far, is the likeliest one right? The edited tokens stay where they are.
    private static IReadOnlyList<bool> Right(ReftModel model, IReadOnlyList<int> prompt, IReadOnlyList<int> text)
    {
        var next = model.GenerateBatch(
            Enumerable.Range(0, text.Count).Select(i => (IReadOnlyList<int>)[.. prompt, .. text.Take(i)]),
            new GenerationOptions { MaxNewTokens = 1, IgnoreEos = true, BatchSize = 16 });
        return [.. next.Zip(text).Select(pair => pair.First.TokenIds[0] == pair.Second)];
    }

    private static double Share(IEnumerable<bool> right) => right.Average(value => value ? 1.0 : 0.0);
}
