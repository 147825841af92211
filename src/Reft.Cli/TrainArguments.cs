using System.CommandLine;
using System.CommandLine.Parsing;

namespace Reft.Cli;

/// <summary>What a command line says of some options, as arguments of another one.</summary>
internal static class TrainArguments
{
    /// <summary>The options that are given, with their values as they were written.</summary>
    public static IReadOnlyList<string> Of(ParseResult parsed, IEnumerable<Option> options) =>
        [.. options.SelectMany(option => parsed.GetResult(option) is { Implicit: false } given ? Arguments(option, given) : [])];

    private static IEnumerable<string> Arguments(Option option, OptionResult given) =>
        given.Tokens.Count == 0 ? [option.Name] : given.Tokens.SelectMany(token => new[] { option.Name, token.Value });
}
