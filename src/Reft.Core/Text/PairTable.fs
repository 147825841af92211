namespace Reft.Core

open System.Numerics

/// <summary>From pairs of numbers ≥ 0 to a number ≥ 0: one array, open addressing, 16 bytes a slot.</summary>
/// <remarks>To be filled by one thread; then any number may read.</remarks>
[<Sealed>]
type internal PairTable(count: int) =

    // At most 5/8 full.
    let size =
        int (BitOperations.RoundUpToPowerOf2(uint32 (max 8 count) * 8u / 5u + 1u))

    let mask = size - 1
    let shift = 64 - BitOperations.Log2(uint32 size)

    /// Key and value side by side, so that a look-up touches one line of the cache; a key of −1 is a free slot.
    let slots = Array.create (2 * size) -1L

    let key (left: int) (right: int) = (int64 left <<< 32) ||| int64 right

    let slotOf (key: int64) =
        let mutable slot = int ((uint64 key * 0x9E3779B97F4A7C15UL) >>> shift)

        while slots[2 * slot] <> key && slots[2 * slot] <> -1L do
            slot <- (slot + 1) &&& mask

        slot

    /// The value of a pair; −1 if it has none.
    member _.Find(left: int, right: int) : int64 = slots[2 * slotOf (key left right) + 1]

    /// Gives a pair a value, in place of the one that it had. No more pairs than were announced.
    member _.Set(left: int, right: int, value: int64) : unit =
        let key = key left right
        let slot = slotOf key
        slots[2 * slot] <- key
        slots[2 * slot + 1] <- value
