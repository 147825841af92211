namespace Reft.Core

open System
open System.Collections.Generic
open System.IO
open System.Security.Cryptography
open System.Text
open TorchSharp

/// <summary>
/// Files of <c>torch.save</c> that hold a state dict: a zip archive with a pickle that describes tensors and an entry for
/// the bytes of each storage. Only tensors are read: the pickle may name torch's tensors and storages and Python's
/// ordered dictionary, and every other name and instruction is refused. Nothing in a file is ever executed.
/// </summary>
[<RequireQualifiedAccess>]
module TorchFile =

    let private refuse (file: string) (message: string) : 'T =
        raise (InvalidDataException $"{file}: {message}")

    [<Literal>]
    let private Chunk = 16_777_216

    /// Archives begin with PK; what torch wrote before 1.6 begins with a pickle of a magic number.
    let private requireArchive (file: string) (stream: Stream) =
        let start = Array.zeroCreate<byte> 4
        let found = stream.ReadAtLeast(start.AsSpan(), 4, false)
        stream.Position <- 0L

        if found < 4 || start[0] <> 'P'B || start[1] <> 'K'B then
            if found > 1 && start[0] = 0x80uy then
                refuse
                    file
                    "it is a bare pickle, as torch.save wrote before torch 1.6. Save it again with a newer torch: torch.save(torch.load(file, weights_only=True), file)"
            else
                refuse file "expected a zip archive as torch.save writes it, found something else"

    let private requireLittleEndian (file: string) (archive: TorchArchive.Reader) =
        if (archive.TryLength "byteorder").IsSome then
            match Encoding.ASCII.GetString(archive.ReadAll("byteorder", 16)) with
            | "little" -> ()
            | other -> refuse file $"expected numbers of the byte order little, found '{other}'"

    let private elementSize (dtype: torch.ScalarType) =
        use _ = torch.NewDisposeScope()
        torch.empty(1L, dtype = Nullable dtype).element_size()

    /// The number of elements of a shape and one more than the last index that it touches, where both fit 63 bits. Of an
    /// empty tensor the other sides must fit: libtorch multiplies them for its strides.
    let private extent (tensor: PickledTensor) =
        try
            let sides =
                tensor.Shape
                |> Array.fold (fun total side -> Checked.(*) total (max 1L side)) (elementSize tensor.Storage.Dtype)

            if Array.contains 0L tensor.Shape then
                0L, 0L
            else
                let last =
                    Array.zip tensor.Shape tensor.Strides
                    |> Array.fold
                        (fun last (side, stride) -> Checked.(+) last (Checked.(*) (side - 1L) stride))
                        tensor.Offset

                sides / elementSize tensor.Storage.Dtype, Checked.(+) last 1L
        with :? OverflowException ->
            Int64.MaxValue, Int64.MaxValue

    let private check (file: string) (name: string) (tensor: PickledTensor) =
        let storage = tensor.Storage

        let count, last = extent tensor

        if count > storage.Count || last > storage.Count then
            let shape, strides =
                String.Join(", ", tensor.Shape), String.Join(", ", tensor.Strides)

            refuse
                file
                $"tensor '{name}': expected at most the {storage.Count} elements of its storage '{storage.Key}', found the shape [{shape}] with strides [{strides}] from {tensor.Offset}"

        count

    let private readStorage (file: string) (archive: TorchArchive.Reader) (storage: PickledStorage) : Tensor =
        let entry = "data/" + storage.Key
        let size = elementSize storage.Dtype

        match archive.TryLength entry with
        | Some length when length % size = 0L && length / size = storage.Count -> ()
        | Some length ->
            refuse
                file
                $"expected {storage.Count} elements of {size} bytes in the entry '{entry}', found {length} bytes"
        | None -> refuse file $"expected an entry '{entry}' for a storage, found none"

        let tensor = torch.empty (storage.Count, dtype = Nullable storage.Dtype)
        let buffer = Array.zeroCreate<byte>(int (min (int64 Chunk) (storage.Count * size)))

        // Chunks are multiples of every element's size.
        let parts =
            seq {
                for start in 0L .. int64 Chunk / size .. storage.Count - 1L do
                    let count = min (int64 Chunk / size) (storage.Count - start)
                    let part = Memory(buffer, 0, int (count * size))
                    yield part
                    use view = tensor.narrow (0L, start, count)
                    part.Span.CopyTo view.bytes
            }

        archive.Read(entry, parts)
        tensor

    let private table (file: string) (archive: TorchArchive.Reader) =
        requireLittleEndian file archive

        archive.ReadAll("data.pkl", Pickle.MaximumLength)
        |> ReadOnlyMemory
        |> Pickle.read file

    /// The names of a file's tensors in its order; their numbers are not read.
    let internal names (path: string) : string list =
        use stream = new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.Read)
        requireArchive path stream
        use archive = TorchArchive.Reader.Open(path, stream)
        table path archive |> List.map fst

    /// The tensors of an archive; <paramref name="file"/> is what the complaints call it.
    let internal read (file: string) (stream: Stream) : Map<string, Tensor> =
        requireArchive file stream
        use archive = TorchArchive.Reader.Open(file, stream)
        let tensors = table file archive
        let mutable total = 0L

        for name, tensor in tensors do
            total <- total + check file name tensor * elementSize tensor.Storage.Dtype

            // Tensors that share a storage may come to more than the file holds; copies of them would.
            if total > stream.Length then
                refuse
                    file
                    $"expected tensors of together at most {stream.Length} bytes, the file's length; '{name}' goes beyond. Tensors that share memory are not supported: save clones of them"

        use _ = torch.NewDisposeScope()
        let storages = Dictionary<string, torch.ScalarType * Tensor>(StringComparer.Ordinal)

        let storage (wanted: PickledStorage) =
            match storages.TryGetValue wanted.Key with
            | true, (dtype, found) ->
                if dtype <> wanted.Dtype || found.numel () <> wanted.Count then
                    refuse file $"the storage '{wanted.Key}' is described in two ways"

                found
            | _ ->
                let found = readStorage file archive wanted
                storages.Add(wanted.Key, (wanted.Dtype, found))
                found

        Map
            [ for name, tensor in tensors do
                  let found = storage tensor.Storage

                  let value =
                      if Array.contains 0L tensor.Shape then
                          torch.empty (tensor.Shape, dtype = Nullable tensor.Storage.Dtype)
                      else
                          found.as_strided(tensor.Shape, tensor.Strides, tensor.Offset).contiguous().clone()

                  name, value.MoveToOuterDisposeScope() ]

    /// <summary>
    /// Copies of all tensors of a file, by name, on the CPU, in the caller's dispose scope if there is one.
    /// </summary>
    /// <exception cref="T:System.IO.FileNotFoundException">There is no such file.</exception>
    /// <exception cref="T:System.IO.InvalidDataException">
    /// It is no archive of <c>torch.save</c>, is damaged, or holds anything but tensors: the message says what, and where.
    /// </exception>
    let readAll (path: string) : Map<string, Tensor> =
        Native.load ()
        use stream = new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.Read)
        read path stream

    let private bytesOf (tensor: Tensor) : byte[] =
        use _ = torch.NewDisposeScope()
        let flat = tensor.detach().cpu().contiguous().view -1L
        flat.bytes.ToArray()

    /// 40 digits that tell one content from another, as torch has them.
    let private identity (contents: byte[] list) =
        use hash = IncrementalHash.CreateHash HashAlgorithmName.SHA256

        for content in contents do
            hash.AppendData content

        let digits = Numerics.BigInteger(ReadOnlySpan(hash.GetHashAndReset()), true)
        (digits % Numerics.BigInteger.Pow(Numerics.BigInteger 10, 40)).ToString "D40"

    /// <summary>
    /// What writes the file's bytes into a stream: for <see cref="M:Reft.Core.AtomicFile.writeAll"/>. <c>torch.load</c>
    /// reads it, with <c>weights_only=True</c> too, as an ordered dictionary of tensors.
    /// </summary>
    /// <param name="name">The file's name without its end, as the archive repeats it.</param>
    /// <param name="tensors">Names and values, in the order in which the file is to have them.</param>
    /// <exception cref="T:System.ArgumentException">A name comes twice, or torch has no storage for a dtype.</exception>
    let writer (name: string) (tensors: (string * Tensor) list) : Stream -> unit =
        for name, found in tensors |> List.countBy fst do
            if found > 1 then
                invalidArg (nameof tensors) $"tensor '{name}' comes {found} times: names must be unique"

        let pickle =
            tensors
            |> List.map (fun (name, tensor) -> name, tensor.dtype, tensor.shape)
            |> PickleWriter.stateDict

        let contents = tensors |> List.map (snd >> bytesOf)
        let text (content: string) = Encoding.ASCII.GetBytes content

        fun stream ->
            TorchArchive.write
                stream
                name
                [ "data.pkl", pickle
                  ".format_version", text "1"
                  ".storage_alignment", text "64"
                  "byteorder", text "little"
                  for i, content in List.indexed contents do
                      $"data/{i}", content
                  "version", text "3\n"
                  ".data/serialization_id", text (identity (pickle :: contents)) ]

    /// <summary>Writes a state dict as <c>torch.save</c> does, atomically.</summary>
    /// <param name="path">The file.</param>
    /// <param name="tensors">Names and values, of any device, in the order in which the file is to have them.</param>
    /// <exception cref="T:System.ArgumentException">A name comes twice, or torch has no storage for a dtype.</exception>
    /// <exception cref="T:System.IO.IOException">Writing failed, e.g. because the disk is full: the old file is intact.</exception>
    let write (path: string) (tensors: (string * Tensor) list) : unit =
        let name = Path.GetFileNameWithoutExtension path |> string
        AtomicFile.write path (writer name tensors)
