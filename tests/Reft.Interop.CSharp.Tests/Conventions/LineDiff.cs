namespace Reft.Tests.Conventions;

/// <summary>The lines that differ between two texts, by their longest common subsequence.</summary>
internal static class LineDiff
{
    /// <summary>Lines of <paramref name="before"/> alone with "- ", of <paramref name="after"/> alone with "+ ".</summary>
    public static IEnumerable<string> Between(string before, string after)
    {
        var a = before.Split('\n');
        var b = after.Split('\n');

        // common[i, j]: length of the longest common subsequence of a[i..] and b[j..].
        var common = new int[a.Length + 1, b.Length + 1];
        for (var i = a.Length - 1; i >= 0; i--)
        {
            for (var j = b.Length - 1; j >= 0; j--)
            {
                common[i, j] = a[i] == b[j]
                    ? common[i + 1, j + 1] + 1
                    : Math.Max(common[i + 1, j], common[i, j + 1]);
            }
        }

        var (x, y) = (0, 0);
        while (x < a.Length || y < b.Length)
        {
            if (x < a.Length && y < b.Length && a[x] == b[y])
            {
                (x, y) = (x + 1, y + 1);
            }
            else if (y == b.Length || (x < a.Length && common[x + 1, y] >= common[x, y + 1]))
            {
                yield return "- " + a[x++];
            }
            else
            {
                yield return "+ " + b[y++];
            }
        }
    }
}
