using Microsoft.FSharp.Collections;
using Microsoft.FSharp.Core;

namespace Reft.Internal;

/// <summary>Between .NET's types and F#'s, so that the rest of the facade reads as C#.</summary>
internal static class FSharpConversions
{
    public static FSharpList<T> ToFSharpList<T>(this IEnumerable<T> items) => ListModule.OfSeq(items);

    public static FSharpOption<T> ToOption<T>(this T? value)
        where T : struct =>
        value is { } present ? FSharpOption<T>.Some(present) : FSharpOption<T>.None;

    public static FSharpOption<T> ToOption<T>(this T? value)
        where T : class =>
        value is null ? FSharpOption<T>.None : FSharpOption<T>.Some(value);

    public static bool HasValue<T>(this FSharpOption<T>? option) => FSharpOption<T>.get_IsSome(option);

    public static T? ValueOrNull<T>(this FSharpOption<T>? option)
        where T : class =>
        option.HasValue() ? option!.Value : null;

    public static T? ToNullable<T>(this FSharpOption<T>? option)
        where T : struct =>
        option.HasValue() ? option!.Value : null;

    public static FSharpFunc<T, TResult> ToFSharpFunc<T, TResult>(this Func<T, TResult> function) =>
        FuncConvert.FromFunc(function);

    public static FSharpFunc<T1, FSharpFunc<T2, TResult>> ToFSharpFunc<T1, T2, TResult>(this Func<T1, T2, TResult> function) =>
        FuncConvert.FromFunc(function);

    public static FSharpFunc<T1, FSharpFunc<T2, FSharpFunc<T3, TResult>>> ToFSharpFunc<T1, T2, T3, TResult>(
        this Func<T1, T2, T3, TResult> function) =>
        FuncConvert.FromFunc(function);

    public static FSharpFunc<T1, FSharpFunc<T2, Unit>> ToFSharpFunc<T1, T2>(this Action<T1, T2> action) =>
        FuncConvert.FromAction(action);

    public static FSharpFunc<T, Unit> ToFSharpFunc<T>(this Action<T> action) => FuncConvert.FromAction(action);

    /// <summary>A curried function of two arguments.</summary>
    public static Func<TFirst, TSecond, TResult> ToFunc<TFirst, TSecond, TResult>(
        this FSharpFunc<TFirst, FSharpFunc<TSecond, TResult>> function) =>
        (first, second) => function.Invoke(first).Invoke(second);
}
