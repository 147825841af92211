namespace Reft.Internal;

/// <summary>
/// Work on a thread of its own: libtorch's dispose scopes and gradient mode belong to a thread, so that work with tensors
/// must not move between threads.
/// </summary>
internal static class DedicatedThread
{
    public static Task<T> Run<T>(string name, Func<T> work)
    {
        var completion = new TaskCompletionSource<T>(TaskCreationOptions.RunContinuationsAsynchronously);
        var thread = new Thread(() =>
        {
#pragma warning disable CA1031 // Whatever goes wrong is the task's outcome.
            try
            {
                completion.SetResult(work());
            }
            catch (Exception e)
            {
                completion.SetException(e);
            }
#pragma warning restore CA1031
        })
        {
            Name = name,
            IsBackground = true,
        };
        thread.Start();
        return completion.Task;
    }
}
