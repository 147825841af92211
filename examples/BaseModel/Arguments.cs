namespace BaseModel;

/// <summary>The <c>--name value</c> options after a subcommand.</summary>
internal sealed class Arguments
{
    private readonly Dictionary<string, string> _options = [];

    /// <exception cref="UsageException">An option is unknown, repeated or has no value.</exception>
    public Arguments(ReadOnlySpan<string> words, params ReadOnlySpan<string> allowed)
    {
        for (int i = 0; i < words.Length; i += 2)
        {
            string name = words[i];
            if (!allowed.Contains(name))
            {
                throw new UsageException($"unknown option {name}; expected {string.Join(", ", allowed.ToArray())}");
            }

            if (i + 1 == words.Length)
            {
                throw new UsageException($"{name} needs a value");
            }

            if (!_options.TryAdd(name, words[i + 1]))
            {
                throw new UsageException($"{name} is given twice");
            }
        }
    }

    /// <exception cref="UsageException">The option is missing.</exception>
    public string Required(string name) =>
        _options.TryGetValue(name, out string? value) ? value : throw new UsageException($"{name} is missing");

    public string Optional(string name, string fallback) => _options.GetValueOrDefault(name, fallback);

    /// <exception cref="UsageException">The value is not a positive whole number.</exception>
    public int PositiveInteger(string name, int fallback) =>
        !_options.TryGetValue(name, out string? text) ? fallback
        : int.TryParse(text, out int value) && value > 0 ? value
        : throw new UsageException($"{name} must be a positive whole number, found '{text}'");
}

/// <summary>The command line asks for something this program does not do.</summary>
internal sealed class UsageException(string message) : Exception(message);
