namespace Reft.Core

open System

/// The checksum of zip archives: CRC-32 with the reflected polynomial 0xEDB88320.
[<RequireQualifiedAccess>]
module internal Crc32 =

    let private table =
        [| for i in 0u .. 255u ->
               let mutable value = i

               for _ in 1..8 do
                   value <-
                       if value &&& 1u = 1u then
                           (value >>> 1) ^^^ 0xEDB88320u
                       else
                           value >>> 1

               value |]

    /// The checksum of bytes that follow those of an earlier one; begin with 0.
    let append (crc: uint32) (bytes: ReadOnlySpan<byte>) : uint32 =
        let mutable value = ~~~crc

        for i in 0 .. bytes.Length - 1 do
            value <- table[int ((value ^^^ uint32 bytes[i]) &&& 0xFFu)] ^^^ (value >>> 8)

        ~~~value

    /// The checksum of bytes.
    let ofBytes (bytes: byte[]) : uint32 = append 0u (ReadOnlySpan bytes)
