using System.Globalization;
using System.Net;
using Polly;
using Polly.Retry;

namespace Reft.Internal;

/// <summary>Tries again what may pass: exponential waits with jitter, or what the server asks for, within bounds.</summary>
internal sealed class HubRetries
{
    /// <summary>Rate limits of the hub count in windows of five minutes; who asks for more is not waited for.</summary>
    private static readonly TimeSpan LongestAsked = TimeSpan.FromMinutes(5);
    private static readonly TimeSpan LongestOwn = TimeSpan.FromSeconds(30);

    private readonly ResiliencePipeline _pipeline;

    public HubRetries(HubOptions options)
    {
        var builder = new ResiliencePipelineBuilder { TimeProvider = options.Time };
        if (options.Retries > 0)
        {
            builder.AddRetry(new RetryStrategyOptions
            {
                ShouldHandle = new PredicateBuilder().Handle<TransientHubException>(e => !AsksTooMuch(e)),
                MaxRetryAttempts = options.Retries,
                BackoffType = DelayBackoffType.Exponential,
                UseJitter = true,
                Delay = options.RetryDelay,
                MaxDelay = LongestOwn,
                DelayGenerator = arguments => ValueTask.FromResult(
                    (arguments.Outcome.Exception as TransientHubException)?.RetryAfter),
            });
        }

        _pipeline = builder.Build();
    }

    /// <summary>Runs it until it succeeds, fails for good, or has failed too often.</summary>
    /// <exception cref="HubException">It failed.</exception>
    public async Task<T> RunAsync<T>(Func<CancellationToken, Task<T>> attempt, CancellationToken cancel)
    {
        var attempts = 0;
        try
        {
            return await _pipeline.ExecuteAsync(
                async token =>
                {
                    attempts++;
                    return await attempt(token).ConfigureAwait(false);
                },
                cancel).ConfigureAwait(false);
        }
        catch (TransientHubException e)
        {
            var outcome = AsksTooMuch(e)
                ? string.Create(CultureInfo.InvariantCulture, $"the server asks to wait {e.RetryAfter!.Value.TotalSeconds:0} s, more than the {LongestAsked.TotalSeconds:0} s that are waited here; try again then")
                : attempts == 1 ? "tried once" : $"tried {attempts} times";
            throw new HubException($"{e.Message} ({outcome})", e)
            {
                StatusCode = e.StatusCode,
                Unreachable = e.StatusCode is null or HttpStatusCode.RequestTimeout or HttpStatusCode.TooManyRequests
                    or >= HttpStatusCode.InternalServerError,
            };
        }
    }

    private static bool AsksTooMuch(TransientHubException e) => e.RetryAfter > LongestAsked;
}
