namespace Reft.Core

open System
open System.Buffers.Binary
open System.IO
open System.Text
open System.Text.Unicode

/// A field of a protobuf message.
[<Struct; NoEquality; NoComparison>]
type internal ProtobufField =
    {
        Number: int
        /// 0 for a number, 1 and 5 for eight and four bytes, 2 for bytes with their length.
        Wire: int
        /// The number, or the four or eight bytes as one.
        Value: uint64
        /// The bytes of a string or an inner message: a part of the message's own.
        Bytes: ReadOnlyMemory<byte>
        /// Where it begins in its message.
        Offset: int
    }

/// Protobuf's wire format, as far as files of SentencePiece use it. Nothing is copied, and nothing is read twice.
[<RequireQualifiedAccess>]
module internal Protobuf =

    let private fail (file: string) (offset: int) (problem: string) : 'a =
        raise (
            InvalidDataException
                $"{file}: at byte {offset} of a message: {problem} (truncated, or no SentencePiece model?)"
        )

    let private varint file (bytes: ReadOnlySpan<byte>) (at: byref<int>) : uint64 =
        let start = at
        let mutable value = 0UL
        let mutable shift = 0
        let mutable reading = true

        while reading do
            if at >= bytes.Length || shift > 63 then
                fail file start "a number does not end"

            let b = bytes[at]
            at <- at + 1
            value <- value ||| (uint64 (b &&& 0x7Fuy) <<< shift)
            shift <- shift + 7
            reading <- b >= 0x80uy

        value

    /// Every field of a message, in order.
    let fields (file: string) (message: ReadOnlyMemory<byte>) (visit: ProtobufField -> unit) : unit =
        let mutable at = 0

        while at < message.Length do
            let offset = at
            let tag = varint file message.Span &at
            let number = tag >>> 3

            if number = 0UL || number > 536870911UL then
                fail file offset $"the field number {number} is none"

            let wire = int (tag &&& 7UL)

            let take (count: uint64) : ReadOnlyMemory<byte> =
                if count > uint64 (message.Length - at) then
                    fail file offset $"a field has {count} bytes, and {message.Length - at} are left"

                message.Slice(at, int count)

            let value, bytes =
                match wire with
                | 0 -> varint file message.Span &at, ReadOnlyMemory.Empty
                | 1 ->
                    let bytes = take 8UL
                    at <- at + 8
                    BinaryPrimitives.ReadUInt64LittleEndian bytes.Span, ReadOnlyMemory.Empty
                | 2 ->
                    let length = varint file message.Span &at
                    let bytes = take length
                    at <- at + bytes.Length
                    0UL, bytes
                | 5 ->
                    let bytes = take 4UL
                    at <- at + 4
                    uint64 (BinaryPrimitives.ReadUInt32LittleEndian bytes.Span), ReadOnlyMemory.Empty
                | wire -> fail file offset $"the wire type {wire} is none"

            visit
                { Number = int number
                  Wire = wire
                  Value = value
                  Bytes = bytes
                  Offset = offset }

    /// What a message makes of a state, field by field.
    let fold (file: string) (message: ReadOnlyMemory<byte>) (step: 'S -> ProtobufField -> 'S) (start: 'S) : 'S =
        let state = ref start
        fields file message (fun field -> state.Value <- step state.Value field)
        state.Value

    let private expect file (what: string) (wire: int) (field: ProtobufField) =
        if field.Wire <> wire then
            fail file field.Offset $"expected {what} as field {field.Number}, found the wire type {field.Wire}"

    /// A string.
    let string (file: string) (field: ProtobufField) : string =
        expect file "a string" 2 field

        if not (Utf8.IsValid field.Bytes.Span) then
            fail file field.Offset $"the string of field {field.Number} is not UTF-8"

        Encoding.UTF8.GetString field.Bytes.Span

    /// Bytes, or an inner message.
    let bytes (file: string) (field: ProtobufField) : ReadOnlyMemory<byte> =
        expect file "bytes" 2 field
        field.Bytes

    /// An int32 or an enumeration.
    let int32 (file: string) (field: ProtobufField) : int =
        expect file "a number" 0 field
        int field.Value

    let bool (file: string) (field: ProtobufField) : bool =
        expect file "true or false" 0 field
        field.Value <> 0UL

    /// A finite float.
    let float32 (file: string) (field: ProtobufField) : float32 =
        expect file "a float" 5 field

        match BitConverter.UInt32BitsToSingle(uint32 field.Value) with
        | value when Single.IsFinite value -> value
        | value -> fail file field.Offset $"expected a finite number, found {value}"
