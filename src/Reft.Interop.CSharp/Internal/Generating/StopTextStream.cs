namespace Reft.Internal;

/// <summary>Shows text as it comes, without ever showing a part of a stop string.</summary>
/// <param name="stop">The stop strings; null where there are none.</param>
internal sealed class StopTextStream(StopText? stop)
{
    private string _held = "";
    private bool _ended;

    /// <summary>What can be shown, now that more text has come.</summary>
    public string Push(string text)
    {
        if (stop is null || _ended)
        {
            return _ended ? "" : text;
        }

        var all = _held + text;
        var cut = stop.Find(all);
        _ended = cut >= 0;
        var shown = _ended ? cut : all.Length - stop.Pending(all);
        _held = _ended ? "" : all[shown..];
        return all[..shown];
    }

    /// <summary>What was kept back and turned out to be no stop string, at the end of the text.</summary>
    public string Flush()
    {
        var rest = _held;
        _held = "";
        return rest;
    }
}
