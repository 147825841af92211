namespace Reft.Core

/// <summary>
/// Where the tokens of one example stand in a padded batch: in row <c>Row</c>, token <c>i</c> in column <c>Start + i</c>,
/// or <c>Start + i + Gap</c> from token <c>Break</c> on. The gap is the right padding that cached decoding steps over.
/// Usually each example has a row of its own; in a packed batch several stand one after another in one.
/// </summary>
[<Struct>]
type RowSpan =
    {
        /// The row of the batch's tensors.
        Row: int
        /// The column of the first token: the left padding, or other examples, before it.
        Start: int
        /// How many tokens the example has.
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

    /// <summary>An example of <paramref name="length"/> tokens without a gap.</summary>
    /// <param name="row">The row of the batch's tensors.</param>
    /// <param name="start">The column of its first token.</param>
    /// <param name="prompt">How many of its tokens are the prompt; all, where it has no more.</param>
    /// <param name="length">How many tokens it has.</param>
    let contiguous (row: int) (start: int) (prompt: int) (length: int) : RowSpan =
        { Row = row
          Start = start
          Length = length
          Prompt = min prompt length
          Break = System.Int32.MaxValue
          Gap = 0 }

    /// <summary>How many rows the tensors of a batch of these spans have.</summary>
    let rowCount (spans: RowSpan[]) : int =
        spans |> Array.fold (fun count span -> max count (span.Row + 1)) 0

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
