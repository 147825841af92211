namespace Reft.Core

open System
open System.Collections.Generic

/// <summary>The merges of a vocabulary, and their application: of all pairs the one that the list names first is merged first.</summary>
/// <remarks>A value of the table is the rank of the merge in its upper half, and the token that it makes in its lower one.</remarks>
[<Sealed>]
type internal BytePairMerges(table: PairTable) =

    // Room for the short loop, one per thread.
    [<ThreadStatic; DefaultValue>]
    static val mutable private ranks: int64[] | null

    /// Up to here looking at all pairs for each merge is faster than a queue.
    static let shortest = 48

    let merged (value: int64) = int (value &&& 0xFFFFFFFFL)

    /// The value of a pair, made to sort last if there is none.
    let rank (left: int) (right: int) =
        match table.Find(left, right) with
        | -1L -> Int64.MaxValue
        | value -> value

    /// Merges in place; returns how many symbols are left.
    let mergeShort (symbols: Span<int>) : int =
        let ranks =
            match BytePairMerges.ranks with
            | NonNull ranks -> ranks
            | _ ->
                let ranks = Array.zeroCreate shortest
                BytePairMerges.ranks <- ranks
                ranks

        let mutable count = symbols.Length

        for i in 0 .. count - 2 do
            ranks[i] <- rank symbols[i] symbols[i + 1]

        let mutable merging = count > 1

        while merging do
            let mutable best = Int64.MaxValue
            let mutable at = -1

            for i in 0 .. count - 2 do
                if ranks[i] < best then
                    best <- ranks[i]
                    at <- i

            if at < 0 then
                merging <- false
            else
                symbols[at] <- merged best

                for i in at + 1 .. count - 2 do
                    symbols[i] <- symbols[i + 1]
                    ranks[i - 1] <- ranks[i]

                count <- count - 1

                if at > 0 then
                    ranks[at - 1] <- rank symbols[at - 1] symbols[at]

                if at < count - 1 then
                    ranks[at] <- rank symbols[at] symbols[at + 1]

                merging <- count > 1

        count

    /// The same by a queue of candidate pairs, O(n log n) for n symbols.
    let mergeLong (symbols: Span<int>) : int =
        // A doubly linked list over arrays; a merged-away symbol is −1, and queue entries go stale with what they saw.
        let n = symbols.Length
        let now = symbols.ToArray()
        let next = Array.init n (fun i -> i + 1)
        let previous = Array.init n (fun i -> i - 1)
        let queue = PriorityQueue<struct (int * int * int), struct (int64 * int)>()

        let consider left =
            if left >= 0 && next[left] < n then
                let right = next[left]

                match table.Find(now[left], now[right]) with
                | -1L -> ()
                | value -> queue.Enqueue(struct (left, now[left], now[right]), struct (value, left))

        for i in 0 .. n - 2 do
            consider i

        while queue.Count > 0 do
            let struct (left, a, b) = queue.Dequeue()
            let right = next[left]

            if now[left] = a && right < n && now[right] = b then
                now[left] <- merged (table.Find(a, b))
                now[right] <- -1
                next[left] <- next[right]

                if next[right] < n then
                    previous[next[right]] <- left

                consider previous[left]
                consider left

        let mutable count = 0

        for symbol in now do
            if symbol >= 0 then
                symbols[count] <- symbol
                count <- count + 1

        count

    /// The loop for short pieces, of at most `Shortest` symbols.
    member _.MergeShort(symbols: Span<int>) : int = mergeShort symbols

    /// The loop for long pieces.
    member _.MergeLong(symbols: Span<int>) : int = mergeLong symbols

    /// Up to how many symbols the loop for short pieces is the faster one.
    static member Shortest: int = shortest

    /// Merges in place; returns how many symbols are left.
    member _.Merge(symbols: Span<int>) : int =
        if symbols.Length <= shortest then
            mergeShort symbols
        else
            mergeLong symbols
