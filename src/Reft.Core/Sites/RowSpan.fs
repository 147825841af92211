namespace Reft.Core

/// <summary>
/// Where one row's tokens stand among the columns of a padded batch: token <c>i</c> stands in column
/// <c>Start + i</c>, or <c>Start + i + Gap</c> from token <c>Break</c> on. The gap is the right padding that cached
/// decoding steps over.
/// </summary>
[<Struct>]
type RowSpan =
    {
        /// The column of the first token: the left padding before it.
        Start: int
        /// How many tokens the row has.
        Length: int
        /// How many of them are the prompt, to which positions refer.
        Prompt: int
        /// The first token that stands behind the gap; <c>Length</c> or more when there is none.
        Break: int
        /// Padding columns before token <c>Break</c>.
        Gap: int
    }

    /// <summary>The column of token <paramref name="token"/>.</summary>
    member span.Column(token: int) =
        span.Start + token + (if token >= span.Break then span.Gap else 0)

/// <summary>Making row spans.</summary>
[<RequireQualifiedAccess>]
module RowSpan =

    /// <summary>A row of <paramref name="length"/> tokens without a gap.</summary>
    let contiguous (start: int) (prompt: int) (length: int) : RowSpan =
        { Start = start
          Length = length
          Prompt = min prompt length
          Break = System.Int32.MaxValue
          Gap = 0 }

    /// <summary>The row with one more token, which stands in <paramref name="column"/>.</summary>
    let append (column: int) (span: RowSpan) : RowSpan =
        let next = span.Column span.Length

        if span.Gap = 0 && column > next then
            { span with
                Length = span.Length + 1
                Break = span.Length
                Gap = column - next }
        else
            { span with Length = span.Length + 1 }
