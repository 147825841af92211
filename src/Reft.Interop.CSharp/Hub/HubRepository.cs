using System.Diagnostics.CodeAnalysis;
using Reft.Internal;

namespace Reft;

/// <summary>A model repository of the Hugging Face hub at one of its revisions: <c>org/name</c>, <c>org/name@revision</c>.</summary>
public sealed record HubRepository
{
    private const string Main = "main";

    private HubRepository(string name, string revision)
    {
        Name = name;
        Revision = revision;
    }

    /// <summary>Its name: <c>org/name</c>, or <c>name</c> alone for the few that have no organisation, such as <c>gpt2</c>.</summary>
    public string Name { get; }

    /// <summary>A branch, a tag or a whole commit hash; <c>main</c> where none is named.</summary>
    public string Revision { get; }

    /// <summary>Reads <c>org/name</c>, <c>name</c>, or either with <c>@revision</c>.</summary>
    /// <exception cref="ArgumentException">It is no such name; the message says what one may hold.</exception>
    public static HubRepository Parse(string text)
    {
        var (name, revision) = Split(text);
        return
            !HubNames.IsRepository(name)
                ? throw new ArgumentException(
                    $"'{HubNames.Shown(name)}' is no name on the hub: expected org/name of letters, digits, '-', '_' and '.', each part of at most 96 characters, without '--' or '..'")
            : !HubNames.IsRevision(revision)
                ? throw new ArgumentException(
                    $"'{HubNames.Shown(revision)}' is no revision: expected a branch, a tag or a commit hash")
            : new HubRepository(name, revision);
    }

    /// <summary>Reads it as <see cref="Parse"/> does; false where it is no such name.</summary>
    public static bool TryParse([NotNullWhen(true)] string? text, [NotNullWhen(true)] out HubRepository? repository)
    {
        var (name, revision) = Split(text ?? "");
        repository = HubNames.IsRepository(name) && HubNames.IsRevision(revision) ? new HubRepository(name, revision) : null;
        return repository is not null;
    }

    /// <summary>The same repository at another revision.</summary>
    /// <exception cref="ArgumentException">It is no name of a revision.</exception>
    public HubRepository At(string revision) => Parse($"{Name}@{revision}");

    /// <summary>As <see cref="Parse"/> reads it.</summary>
    public override string ToString() => Revision == Main ? Name : $"{Name}@{Revision}";

    private static (string Name, string Revision) Split(string text) =>
        text.IndexOf('@', StringComparison.Ordinal) is >= 0 and var at ? (text[..at], text[(at + 1)..]) : (text, Main);
}
