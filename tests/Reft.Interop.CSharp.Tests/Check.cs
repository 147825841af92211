namespace Reft.Tests;

/// <summary>What tests assert, in C#'s own terms: Expecto's are curried F# functions.</summary>
internal static class Check
{
    public static void That(bool holds, string what)
    {
        if (!holds)
        {
            throw new InvalidOperationException(what);
        }
    }

    public static void Equal<T>(T expected, T found, string what) =>
        That(EqualityComparer<T>.Default.Equals(expected, found), $"{what}: expected {expected}, found {found}");

    public static void Same<T>(IEnumerable<T> expected, IEnumerable<T> found, string what) =>
        That(
            expected.SequenceEqual(found),
            $"{what}: expected [{string.Join(", ", expected)}], found [{string.Join(", ", found)}]");

    public static T Throws<T>(Action action, params string[] parts)
        where T : Exception
    {
        try
        {
            action();
        }
        catch (T e)
        {
            foreach (var part in parts)
            {
                That(e.Message.Contains(part, StringComparison.Ordinal), $"expected '{part}' in the message, found: {e.Message}");
            }

            return e;
        }

        throw new InvalidOperationException($"expected a {typeof(T).Name}, but nothing was thrown");
    }
}
