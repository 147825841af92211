namespace Reft.Core

open System
open System.Collections.Generic
open System.IO
open System.Text
open TorchSharp

/// Pickles of state dicts, instruction by instruction as Python's own pickler writes them at protocol 2.
[<RequireQualifiedAccess>]
module internal PickleWriter =

    /// Python remembers every value under a number, and names it by that number when it comes again.
    [<Sealed>]
    type private Writer(stream: Stream) =

        let writer = new BinaryWriter(stream, Encoding.UTF8, true)
        let memo = Dictionary<string, int>(StringComparer.Ordinal)
        let mutable count = 0

        member _.Op(code: byte) = writer.Write code

        member _.Numbered(short: byte, long: byte, index: int) =
            if index < 256 then
                writer.Write short
                writer.Write(byte index)
            else
                writer.Write long
                writer.Write index

        /// Remembers the value just written.
        member this.Put() =
            this.Numbered('q'B, 'r'B, count)
            count <- count + 1

        /// Writes a value that may come again, or its number where it does.
        member this.Shared(key: string, write: unit -> unit) =
            match memo.TryGetValue key with
            | true, index -> this.Numbered('h'B, 'j'B, index)
            | _ ->
                write ()
                memo[key] <- count
                this.Put()

        member this.Global(modul: string, name: string) =
            this.Shared($"{modul} {name}", fun () -> writer.Write(Encoding.ASCII.GetBytes $"c{modul}\n{name}\n"))

        /// A text that is the same object wherever it comes.
        member this.Interned(text: string) =
            this.Shared($"text {text}", (fun () -> this.Raw text))

        member this.Text(text: string) =
            this.Raw text
            this.Put()

        member private _.Raw(text: string) =
            let bytes = Encoding.UTF8.GetBytes text
            writer.Write 'X'B
            writer.Write bytes.Length
            writer.Write bytes

        member _.Number(value: int64) =
            if value >= 0L && value < 256L then
                writer.Write 'K'B
                writer.Write(byte value)
            elif value >= 0L && value < 65536L then
                writer.Write 'M'B
                writer.Write(uint16 value)
            elif value >= 0L && value <= int64 Int32.MaxValue then
                writer.Write 'J'B
                writer.Write(int32 value)
            else
                // Shortest two's complement, which needs no more for what a shape can be.
                writer.Write 0x8Auy
                writer.Write 8uy
                writer.Write value

        /// Up to three items have an instruction of their own, more a mark before them; none is not remembered.
        member this.Tuple(items: (unit -> unit) list) =
            if items.Length > 3 then
                writer.Write '('B

            for write in items do
                write ()

            match items.Length with
            | 0 -> writer.Write ')'B
            | 1 -> writer.Write 0x85uy
            | 2 -> writer.Write 0x86uy
            | 3 -> writer.Write 0x87uy
            | _ -> writer.Write 't'B

            if not items.IsEmpty then
                this.Put()

        member this.EmptyDictionary() =
            this.Global("collections", "OrderedDict")
            writer.Write ')'B
            writer.Write 'R'B
            this.Put()

    // Python hands over items in portions.
    [<Literal>]
    let private Portion = 1000

    let private tensor (writer: Writer) (key: string) (storage: string) (shape: int64[]) =
        let count = shape |> Array.fold (*) 1L

        let strides =
            Array.scanBack (fun side stride -> max 1L side * stride) shape 1L |> Array.tail

        let numbers (values: int64[]) () =
            writer.Tuple [ for value in values -> fun () -> writer.Number value ]

        writer.Global("torch._utils", "_rebuild_tensor_v2")

        writer.Tuple
            [ fun () ->
                  writer.Tuple
                      [ fun () -> writer.Interned "storage"
                        fun () -> writer.Global("torch", storage)
                        fun () -> writer.Text key
                        fun () -> writer.Interned "cpu"
                        fun () -> writer.Number count ]

                  writer.Op 'Q'B
              fun () -> writer.Number 0L
              numbers shape
              numbers strides
              fun () -> writer.Op 0x89uy // not trained
              fun () -> writer.EmptyDictionary() ] // no hooks

        writer.Op 'R'B
        writer.Put()

    /// <summary>The pickle of contiguous tensors, each in a storage of its own: <c>0</c>, <c>1</c>, … in their order.</summary>
    /// <exception cref="T:System.ArgumentException">torch has no storage for a dtype.</exception>
    let stateDict (tensors: (string * torch.ScalarType * int64[]) list) : byte[] =
        use stream = new MemoryStream()
        let writer = Writer stream

        writer.Op 0x80uy
        writer.Op 2uy
        writer.EmptyDictionary()

        for portion in tensors |> List.indexed |> List.chunkBySize Portion do
            if portion.Length > 1 then
                writer.Op '('B

            for i, (name, dtype, shape) in portion do
                match Pickle.storageOf dtype with
                | Some storage ->
                    writer.Text name
                    tensor writer (string i) storage shape
                | None -> invalidArg (nameof tensors) $"tensor '{name}': torch has no storage of {dtype} here"

            writer.Op(if portion.Length > 1 then 'u'B else 's'B)

        writer.Op '.'B
        stream.ToArray()
