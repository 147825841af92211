namespace Reft.Core

open System
open System.Collections.Generic
open System.IO
open System.Runtime.InteropServices
open TorchSharp

/// Where the rows of a prefix cache are kept. Rows are CPU tensors, contiguous.
type internal IPrefixRows =
    inherit IDisposable

    /// Keeps a copy of rows [length, hidden], and says where; nothing where there is no room.
    abstract TryAdd: rows: Tensor -> int64 option

    /// Writes what is kept at a place into rows of the same shape and dtype.
    abstract Read: place: int64 -> into: Tensor -> unit

/// Rows in memory.
[<Sealed>]
type internal MemoryPrefixRows() =

    let kept = ResizeArray<Tensor>()

    interface IPrefixRows with
        member _.TryAdd(rows: Tensor) =
            kept.Add(rows.clone().DetachFromDisposeScope())
            Some(int64 (kept.Count - 1))

        member _.Read (place: int64) (into: Tensor) =
            use _ = torch.NewDisposeScope()
            into.copy_ kept[int place] |> ignore

        member _.Dispose() =
            for rows in kept do
                rows.Dispose()

            kept.Clear()

/// Rows in a file without a name, which ends with the process however that ends. The system's page cache keeps in memory
/// what there is room for.
[<Sealed>]
type internal FilePrefixRows(folder: string) =

    let stream =
        if not (Directory.Exists folder) then
            raise (DirectoryNotFoundException $"{folder}: expected a folder for the cache of frozen layers, found none")

        let path = Path.Combine(folder, $"reft-prefix-{Guid.NewGuid():N}.tmp")

        let options =
            // Windows keeps the name until the last handle is closed, also by a crash.
            if OperatingSystem.IsWindows() then
                FileOptions.DeleteOnClose
            else
                FileOptions.None

        let stream =
            new FileStream(path, FileMode.CreateNew, FileAccess.ReadWrite, FileShare.None, 1, options)

        if not (OperatingSystem.IsWindows()) then
            File.Delete path

        stream

    let mutable length = 0L
    let mutable full = false

    interface IPrefixRows with
        member _.TryAdd(rows: Tensor) =
            if full then
                None
            else
                let place = length

                try
                    RandomAccess.Write(stream.SafeFileHandle, Span.op_Implicit rows.bytes, place)
                    length <- place + rows.numel () * rows.ElementSize
                    Some place
                with :? IOException ->
                    // The disk is full: what is kept is kept, and the rest is computed.
                    full <- true
                    None

        member _.Read (place: int64) (into: Tensor) =
            let buffer = into.bytes
            let mutable filled = 0

            while filled < buffer.Length do
                let count =
                    RandomAccess.Read(stream.SafeFileHandle, buffer.Slice filled, place + int64 filled)

                if count = 0 then
                    raise (
                        EndOfStreamException
                            $"the cache of frozen layers in {folder} ends at byte {place + int64 filled}, before its rows do: it was cut while in use"
                    )

                filled <- filled + count

        member _.Dispose() = stream.Dispose()

/// What the residual stream of a frozen prefix is a function of: the tokens of an example and their segments, by value.
[<Sealed>]
type internal PrefixKeys() =

    interface IEqualityComparer<struct (int[] * int64[])> with
        member _.Equals(struct (ids, segments), struct (otherIds, otherSegments)) =
            ids.AsSpan().SequenceEqual(otherIds.AsSpan())
            && segments.AsSpan().SequenceEqual(otherSegments.AsSpan())

        member _.GetHashCode(struct (ids, segments)) =
            let mutable hash = HashCode()

            hash.AddBytes(MemoryMarshal.AsBytes(ReadOnlySpan ids))
            hash.AddBytes(MemoryMarshal.AsBytes(ReadOnlySpan segments))
            hash.ToHashCode()
