namespace Reft.Core

open System
open System.Collections.Generic
open System.IO
open System.IO.Compression
open System.Text

/// The zip archives that <c>torch.save</c> writes: entries below one folder, none of them compressed.
[<RequireQualifiedAccess>]
module internal TorchArchive =

    /// More entries than a state dict has tensors.
    [<Literal>]
    let private LargestCount = 1_000_000

    let private refuse (file: string) (message: string) : 'T =
        raise (InvalidDataException $"{file}: {message}")

    /// What .NET's zip reader throws over an archive that is none. It says little of what was expected.
    let private guarded (file: string) (read: unit -> 'T) : 'T =
        try
            read ()
        with
        | :? InvalidDataException
        | :? ArgumentException
        | :? EndOfStreamException
        | :? NotSupportedException
        | :? OverflowException
        | :? IndexOutOfRangeException as e when not (e.Message.StartsWith(file, StringComparison.Ordinal)) ->
            raise (InvalidDataException($"{file}: expected a zip archive as torch.save writes it: {e.Message}", e))

    /// An archive that was opened for reading.
    [<Sealed>]
    type Reader
        private (file: string, archive: ZipArchive, folder: string, entries: Dictionary<string, ZipArchiveEntry>) =

        /// <summary>Opens an archive and checks its table.</summary>
        static member Open(file: string, stream: Stream) : Reader =
            let archive =
                guarded file (fun () -> new ZipArchive(stream, ZipArchiveMode.Read, true))

            try
                let found = guarded file (fun () -> archive.Entries)

                if found.Count > LargestCount then
                    refuse file $"expected at most {LargestCount} entries, found {found.Count}"

                let entries = Dictionary<string, ZipArchiveEntry>(StringComparer.Ordinal)
                let mutable total = 0L

                for entry in found do
                    // Also entries that share their bytes would make more of a file than it holds.
                    if entry.Length <> entry.CompressedLength then
                        refuse
                            file
                            $"the entry '{entry.FullName}' is compressed, as torch.save never does: expected {entry.Length} bytes, found {entry.CompressedLength}"

                    if entry.Length < 0L || entry.Length > stream.Length - total then
                        refuse
                            file
                            $"expected entries of together at most {stream.Length} bytes, the file's length; '{entry.FullName}' goes beyond"

                    total <- total + entry.Length

                    if not (entries.TryAdd(entry.FullName, entry)) then
                        refuse file $"the entry '{entry.FullName}' comes twice"

                match
                    entries.Keys
                    |> Seq.filter (fun name -> name.EndsWith("/data.pkl", StringComparison.Ordinal))
                    |> Seq.truncate 2
                    |> Seq.toList
                with
                | [ pickle ] ->
                    let folder = pickle.Substring(0, pickle.Length - "data.pkl".Length)

                    if entries.ContainsKey(folder + "constants.pkl") then
                        refuse
                            file
                            "it is a TorchScript program (it has constants.pkl): expected the tensors of torch.save(model.state_dict(), file)"

                    new Reader(file, archive, folder, entries)
                | [] -> refuse file "expected an archive of torch.save, with an entry data.pkl; found none"
                | several ->
                    let names = String.concat ", " several
                    refuse file $"expected one entry data.pkl, found {names}"
            with _ ->
                archive.Dispose()
                reraise ()

        /// The length of an entry, if there is one.
        member _.TryLength(name: string) : int64 option =
            match entries.TryGetValue(folder + name) with
            | true, entry -> Some entry.Length
            | _ -> None

        /// Reads an entry in pieces, the buffer being filled anew for each, and checks its checksum.
        member _.Read(name: string, buffers: seq<Memory<byte>>) : unit =
            match entries.TryGetValue(folder + name) with
            | true, entry ->
                guarded file (fun () ->
                    use stream = entry.Open()
                    let mutable crc = 0u

                    for buffer in buffers do
                        stream.ReadExactly buffer.Span
                        crc <- Crc32.append crc (Span.op_Implicit buffer.Span)

                    if crc <> entry.Crc32 then
                        refuse
                            file
                            $"the entry '{name}' is damaged: expected the checksum {entry.Crc32:x8}, found {crc:x8}")
            | _ -> refuse file $"expected an entry '{name}', found none"

        /// A small entry as a whole.
        member reader.ReadAll(name: string, maximum: int) : byte[] =
            match reader.TryLength name with
            | Some length when length <= int64 maximum ->
                let bytes = Array.zeroCreate<byte>(int length)
                reader.Read(name, [ Memory bytes ])
                bytes
            | Some length -> refuse file $"expected an entry '{name}' of at most {maximum} bytes, found {length}"
            | None -> refuse file $"expected an entry '{name}', found none"

        interface IDisposable with
            member _.Dispose() = archive.Dispose()

    /// torch aligns the bytes of its entries, so that readers may map them.
    [<Literal>]
    let private Alignment = 64

    /// Archives above would need other fields.
    [<Literal>]
    let private LargestLength = 0xFFFF_0000L

    // Sizes and checksum stand behind the content; names are UTF-8.
    [<Literal>]
    let private Flags = 0x0808us

    /// <summary>
    /// Writes an archive as torch does, byte for byte: entries aligned to 64 bytes by an extra field, and the records of
    /// long archives at the end whatever the length.
    /// </summary>
    let write (stream: Stream) (folder: string) (entries: (string * byte[]) list) : unit =
        use writer = new BinaryWriter(stream, Encoding.UTF8, true)
        let table = ResizeArray<struct (byte[] * uint32 * byte[] * int64)>()
        let mutable position = 0L

        let put (write: BinaryWriter -> unit) (length: int) =
            write writer
            position <- position + int64 length

        for name, content in entries do
            let name = Encoding.UTF8.GetBytes $"{folder}/{name}"
            let crc = Crc32.ofBytes content
            let start = position
            let unpadded = position + 30L + int64 name.Length + 4L
            let padding = int ((int64 Alignment - unpadded % int64 Alignment) % int64 Alignment)

            if unpadded + int64 content.LongLength > LargestLength then
                invalidArg (nameof entries) $"expected an archive of at most {LargestLength} bytes"

            put
                (fun writer ->
                    writer.Write "PK\003\004"B
                    writer.Write 0us
                    writer.Write Flags
                    writer.Write(Array.zeroCreate<byte> 18)
                    writer.Write(uint16 name.Length)
                    writer.Write(uint16 (padding + 4))
                    writer.Write name
                    writer.Write "FB"B
                    writer.Write(uint16 padding)
                    writer.Write(Array.create padding 'Z'B)
                    writer.Write content
                    writer.Write "PK\007\008"B
                    writer.Write crc
                    writer.Write(uint32 content.Length)
                    writer.Write(uint32 content.Length))
                (30 + name.Length + 4 + padding + content.Length + 16)

            table.Add(struct (name, crc, content, start))

        let tableStart = position

        for struct (name, crc, content, start) in table do
            put
                (fun writer ->
                    writer.Write "PK\001\002"B
                    writer.Write 0us
                    writer.Write 0us
                    writer.Write Flags
                    writer.Write(Array.zeroCreate<byte> 6)
                    writer.Write crc
                    writer.Write(uint32 content.Length)
                    writer.Write(uint32 content.Length)
                    writer.Write(uint16 name.Length)
                    writer.Write(Array.zeroCreate<byte> 12)
                    writer.Write(uint32 start)
                    writer.Write name)
                (46 + name.Length)

        let tableEnd = position
        let count, length = table.Count, tableEnd - tableStart

        // The end record of long archives, where it is, and the end record of short ones.
        writer.Write "PK\006\006"B
        writer.Write 44uL
        writer.Write 0x031Eus
        writer.Write 0x002Dus
        writer.Write(Array.zeroCreate<byte> 8)
        writer.Write(uint64 count)
        writer.Write(uint64 count)
        writer.Write(uint64 length)
        writer.Write(uint64 tableStart)
        writer.Write "PK\006\007"B
        writer.Write 0u
        writer.Write(uint64 tableEnd)
        writer.Write 1u
        writer.Write "PK\005\006"B
        writer.Write 0u
        writer.Write(uint16 (min count 0xFFFF))
        writer.Write(uint16 (min count 0xFFFF))
        writer.Write(uint32 length)
        writer.Write(uint32 tableStart)
        writer.Write 0us
