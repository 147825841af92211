using System.CommandLine;
using System.CommandLine.Parsing;
using System.Globalization;

namespace Reft.Cli;

/// <summary>Options whose values are read strictly and in the same way everywhere, whatever the machine's language.</summary>
internal static class Values
{
    private const int Most = 1_000_000;

    /// <summary>An option with a default, read by a function that throws <see cref="ArgumentException"/>.</summary>
    public static Option<T> Option<T>(string name, string help, string description, T preset, Func<string, T> read) =>
        new(name)
        {
            HelpName = help,
            Description = description,
            DefaultValueFactory = _ => preset,
            CustomParser = result => Read(result, read),
        };

    /// <summary>An option that may be left out.</summary>
    public static Option<int?> Optional(string name, string help, string description, Func<string, int> read) =>
        new(name)
        {
            HelpName = help,
            Description = description,
            CustomParser = result => Read<int?>(result, text => read(text)),
        };

    /// <summary>A number that may be left out.</summary>
    public static Option<double?> OptionalNumber(string name, string help, string description, Func<string, double> read) =>
        new(name)
        {
            HelpName = help,
            Description = description,
            CustomParser = result => Read<double?>(result, text => read(text)),
        };

    /// <summary>A path or a text.</summary>
    public static Option<string?> Text(string name, string help, string description) =>
        new(name) { HelpName = help, Description = description };

    /// <summary>A path or a text that must be given.</summary>
    public static Option<string> Required(string name, string help, string description) =>
        new(name) { HelpName = help, Description = description, Required = true };

    /// <summary>Pairs <c>KEY=VALUE</c>, one for each time it is given.</summary>
    public static Option<string[]> Pairs(string name, string help, string description) =>
        new(name)
        {
            HelpName = help,
            Description = description,
            Arity = ArgumentArity.OneOrMore,
            AllowMultipleArgumentsPerToken = false,
        };

    /// <summary>Texts, one for each time it is given.</summary>
    public static Option<string[]> Texts(string name, string help, string description) => Pairs(name, help, description);

    /// <summary>Reads <c>KEY=VALUE</c>.</summary>
    public static KeyValuePair<string, string> Pair(string text) =>
        text.IndexOf('=', StringComparison.Ordinal) is > 0 and var middle
            ? KeyValuePair.Create(text[..middle], text[(middle + 1)..])
            : throw new ArgumentException($"expected KEY=VALUE, found '{text}'");

    /// <summary>What an error says, without the name of a parameter that no user knows.</summary>
    public static string MessageOf(ArgumentException e) =>
        e.ParamName is { } name
            ? e.Message.Replace($" (Parameter '{name}')", "", StringComparison.Ordinal)
            : e.Message;

    /// <summary>Present or absent.</summary>
    public static Option<bool> Flag(string name, string description) =>
        new(name) { Description = description, Arity = ArgumentArity.Zero };

    /// <summary>An integer of this size at least, and not so large that it can only be a slip.</summary>
    public static Func<string, int> IntegerFrom(int least) =>
        text => int.TryParse(text, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out var number)
            && number >= least && number <= Most
            ? number
            : throw new ArgumentException($"expected an integer of {least} … {Most}, found '{text}'");

    /// <summary>A seed.</summary>
    public static long Seed(string text) =>
        long.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out var number)
            ? number
            : throw new ArgumentException($"expected an integer ≥ 0, found '{text}'");

    /// <summary>A number for which something holds.</summary>
    public static Func<string, double> Number(string expected, Func<double, bool> holds) =>
        text => double.TryParse(text, NumberStyles.Float, CultureInfo.InvariantCulture, out var number)
            && double.IsFinite(number) && holds(number)
            ? number
            : throw new ArgumentException($"expected {expected}, found '{text}'");

    /// <summary>What the one token of an option means; what its reader throws becomes an error of the command line.</summary>
    public static T? Read<T>(ArgumentResult result, Func<string, T> read)
    {
        if (result.Tokens is not [var token])
        {
            return default;
        }

        try
        {
            return read(token.Value);
        }
        catch (ArgumentException e)
        {
            result.AddError($"{(result.Parent as OptionResult)?.IdentifierToken?.Value}: {MessageOf(e)}.");
            return default;
        }
    }
}
