using System.Globalization;
using System.Text;

namespace Reft.Reproduction;

/// <summary>What a run is, whatever machine it runs on: two runs of one key give the same scores.</summary>
/// <param name="Study">The study that plans and runs it.</param>
/// <param name="Model">The name of a model, see <see cref="StudyContext.Models"/>.</param>
/// <param name="Task">The data.</param>
/// <param name="Method">What is trained or measured.</param>
/// <param name="Settings">Everything else that the result depends on, by name; in the order of the names.</param>
/// <param name="Seed">The seed of the run.</param>
internal sealed record RunKey(
    string Study, string Model, string Task, string Method, SortedDictionary<string, string> Settings, long Seed)
{
    /// <summary>The key of a run whose settings are written as <c>("lr", "1e-3")</c>.</summary>
    public static RunKey Of(
        string study, string model, string task, string method, long seed, params (string Name, string Value)[] settings)
    {
        var sorted = new SortedDictionary<string, string>(StringComparer.Ordinal);
        foreach (var (name, value) in settings)
        {
            sorted.Add(name, value);
        }

        return new RunKey(study, model, task, method, sorted, seed);
    }

    /// <summary>A setting.</summary>
    public string this[string name] => Settings.TryGetValue(name, out var value)
        ? value
        : throw new KeyNotFoundException($"{this}: it has no setting '{name}'");

    /// <summary>A setting that is a number.</summary>
    public double Number(string name) => double.Parse(this[name], CultureInfo.InvariantCulture);

    /// <summary>A setting that is a whole number.</summary>
    public int Count(string name) => int.Parse(this[name], CultureInfo.InvariantCulture);

    /// <summary>One line, the same for equal keys and no others.</summary>
    public override string ToString()
    {
        var text = new StringBuilder($"{Study}/{Model}/{Task}/{Method}");
        foreach (var (name, value) in Settings)
        {
            text.Append(CultureInfo.InvariantCulture, $" {name}={value}");
        }

        return text.Append(CultureInfo.InvariantCulture, $" seed={Seed}").ToString();
    }
}

/// <summary>A run that a study asks for.</summary>
/// <param name="Key">What it is.</param>
/// <param name="Priority">Runs of lower numbers come first, over all studies: 0 for what tells most.</param>
/// <param name="Alone">Whether nothing else may run beside it: measurements of time.</param>
internal sealed record PlannedRun(RunKey Key, int Priority = 0, bool Alone = false);
