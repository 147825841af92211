namespace Reft.Core

open System
open System.Collections.Generic
open System.IO
open System.Security.Cryptography
open TorchSharp

/// <summary>The types that both safetensors and libtorch have.</summary>
[<RequireQualifiedAccess>]
module SafetensorsDtype =

    let private table =
        [ "F64", torch.ScalarType.Float64
          "F32", torch.ScalarType.Float32
          "F16", torch.ScalarType.Float16
          "BF16", torch.ScalarType.BFloat16
          "I64", torch.ScalarType.Int64
          "I32", torch.ScalarType.Int32
          "I16", torch.ScalarType.Int16
          "I8", torch.ScalarType.Int8
          "U8", torch.ScalarType.Byte
          "BOOL", torch.ScalarType.Bool ]

    /// <summary>The names, as files write them.</summary>
    let names: string list = table |> List.map fst

    /// <summary>libtorch's type of a name, if it has one.</summary>
    let tryParse (name: string) : torch.ScalarType option =
        table |> List.tryFind (fst >> (=) name) |> Option.map snd

    /// <summary>The name of libtorch's type, if the format has one.</summary>
    let tryName (dtype: torch.ScalarType) : string option =
        table |> List.tryFind (snd >> (=) dtype) |> Option.map fst

/// <summary>
/// An open safetensors file. Its tensors are views of the file itself, mapped privately: nothing is copied, and changing
/// a view never changes the file. Only tensors that stand at an address their type cannot have are copied, one by one.
/// </summary>
/// <remarks>
/// A view keeps the mapping alive, also after this object is disposed and when another file is renamed over this one,
/// as <c>Safetensors.write</c> does. A program that truncates a mapped file in place ends every program that reads it.
/// </remarks>
[<Sealed>]
type SafetensorsFile private (path: string, stream: FileStream, header: SafetensorsHeader) =

    let length = stream.Length

    let index = Dictionary<string, TensorEntry>(StringComparer.Ordinal)

    do
        for entry in header.Tensors do
            index.Add(entry.Name, entry)

    // The whole file as one flat tensor of each type, made at first need.
    let maps = Dictionary<torch.ScalarType, Tensor>()

    let map dtype (size: int64) =
        lock maps (fun () ->
            match maps.TryGetValue dtype with
            | true, mapped -> mapped
            | _ ->
                // Not stream.Length, which .NET remembers: libtorch would map beyond the end of a file that was cut.
                let found = RandomAccess.GetLength stream.SafeFileHandle

                if found <> length then
                    raise (
                        InvalidDataException $"{path}: expected {length} bytes as when it was opened, found {found}"
                    )

                // The very file whose header was checked, whatever its path leads to by now.
                let opened =
                    if OperatingSystem.IsLinux() then
                        $"/proc/self/fd/{stream.SafeFileHandle.DangerousGetHandle()}"
                    else
                        path

                let mapped =
                    torch.from_file(opened, false, Nullable(length / size), Nullable dtype).DetachFromDisposeScope()

                maps.Add(dtype, mapped)
                mapped)

    let strides (shape: int64[]) =
        let strides = Array.create shape.Length 1L

        for i = shape.Length - 2 downto 0 do
            strides[i] <- strides[i + 1] * shape[i + 1]

        strides

    let readAt (position: int64) (buffer: Span<byte>) =
        let mutable filled = 0
        let mutable more = true

        while more && filled < buffer.Length do
            let count =
                RandomAccess.Read(stream.SafeFileHandle, buffer.Slice filled, position + int64 filled)

            filled <- filled + count
            more <- count > 0

        if filled < buffer.Length then
            raise (InvalidDataException $"{path}: expected {length} bytes as when it was opened; it was cut since")

    let copied (entry: TensorEntry) (shape: int64[]) dtype size =
        let tensor = torch.empty (shape, dtype = Nullable dtype)
        use flat = tensor.view -1L
        let chunk = 1L <<< 24

        for start in 0L .. chunk .. flat.numel () - 1L do
            use part = flat.narrow (0L, start, min chunk (flat.numel () - start))
            readAt (header.DataStart + entry.Begin + start * size) part.bytes

        tensor

    /// <summary>Opens a file and checks its header.</summary>
    /// <exception cref="T:System.IO.FileNotFoundException">There is no such file.</exception>
    /// <exception cref="T:System.IO.InvalidDataException">It is no valid safetensors file; the message says why.</exception>
    static member Open(path: string) : SafetensorsFile =
        Native.load ()
        let stream = new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.Read)

        try
            new SafetensorsFile(path, stream, SafetensorsHeader.read path stream)
        with _ ->
            stream.Dispose()
            reraise ()

    /// <summary>Where it is.</summary>
    member _.Path: string = path

    /// <summary>Its table, in the order of the data section.</summary>
    member _.Tensors: TensorEntry list = header.Tensors

    /// <summary>Its free-form texts.</summary>
    member _.Metadata: Map<string, string> = header.Metadata

    /// <summary>The row of a name, if there is one.</summary>
    member _.TryFind(name: string) : TensorEntry option =
        match index.TryGetValue name with
        | true, entry -> Some entry
        | _ -> None

    member private _.Known(name: string) : struct (TensorEntry * torch.ScalarType) =
        match index.TryGetValue name with
        | false, _ -> raise (KeyNotFoundException $"{path}: there is no tensor '{name}'")
        | true, entry ->
            match SafetensorsDtype.tryParse entry.Dtype with
            | Some dtype -> struct (entry, dtype)
            | None ->
                let known = String.concat ", " SafetensorsDtype.names

                raise (
                    InvalidDataException $"{path}: tensor '{name}': expected a dtype of {known}, found {entry.Dtype}"
                )

    /// <summary>A tensor of the file, on the CPU, in the caller's dispose scope if there is one.</summary>
    /// <exception cref="T:System.Collections.Generic.KeyNotFoundException">There is none of that name.</exception>
    /// <exception cref="T:System.IO.InvalidDataException">Its dtype is none of libtorch's.</exception>
    member file.Read(name: string) : Tensor =
        let struct (entry, dtype) = file.Known name
        let size = SafetensorsHeader.elementSizes[entry.Dtype]
        let shape = List.toArray entry.Shape
        let start = header.DataStart + entry.Begin

        if entry.Bytes = 0L then
            torch.empty (shape, dtype = Nullable dtype)
        elif start % size <> 0L then
            copied entry shape dtype size
        else
            (map dtype size).as_strided(shape, strides shape, start / size)

    /// <summary>
    /// A copy of a tensor, on the CPU, in the caller's dispose scope if there is one. The file is read and not mapped, so that
    /// nothing of it stays in the process's memory.
    /// </summary>
    /// <exception cref="T:System.Collections.Generic.KeyNotFoundException">There is none of that name.</exception>
    /// <exception cref="T:System.IO.InvalidDataException">Its dtype is none of libtorch's, or the file was cut.</exception>
    member file.ReadCopy(name: string) : Tensor =
        let struct (entry, dtype) = file.Known name
        copied entry (List.toArray entry.Shape) dtype SafetensorsHeader.elementSizes[entry.Dtype]

    /// <summary>Copies bytes of a tensor, from <paramref name="offset"/> within it, into a buffer.</summary>
    member _.ReadBytes(entry: TensorEntry, offset: int64, buffer: Span<byte>) : unit =
        if offset < 0L || offset + int64 buffer.Length > entry.Bytes then
            invalidArg
                (nameof offset)
                $"expected bytes of 0 … {entry.Bytes} of tensor '{entry.Name}', found {offset} … {offset + int64 buffer.Length}"

        readAt (header.DataStart + entry.Begin + offset) buffer

    /// Copies of all tensors, by name, in the caller's dispose scope if there is one.
    member internal file.Copies() : Map<string, Tensor> =
        Map
            [ for entry in header.Tensors do
                  use view = file.Read entry.Name
                  entry.Name, view.clone () ]

    /// SHA-256 over all bytes of the file that is open, whatever stands at its path by now.
    member internal _.Hash() : byte[] =
        use hash = IncrementalHash.CreateHash HashAlgorithmName.SHA256
        let buffer = Array.zeroCreate<byte>(1 <<< 20)

        for start in 0L .. int64 buffer.Length .. length - 1L do
            let part = buffer.AsSpan(0, int (min (int64 buffer.Length) (length - start)))
            readAt start part
            hash.AppendData(Span.op_Implicit part: ReadOnlySpan<byte>)

        hash.GetHashAndReset()

    interface IDisposable with
        member _.Dispose() =
            lock maps (fun () ->
                for mapped in maps.Values do
                    mapped.Dispose()

                maps.Clear())

            stream.Dispose()

/// <summary>Writing safetensors files, and reading small ones whole.</summary>
[<RequireQualifiedAccess>]
module Safetensors =

    let private dtypeName (name: string) (tensor: Tensor) =
        match SafetensorsDtype.tryName tensor.dtype with
        | Some dtype -> dtype
        | None ->
            let known = String.concat ", " SafetensorsDtype.names
            invalidArg "tensors" $"tensor '{name}': expected a dtype of {known}, found {tensor.dtype}"

    /// Large types first, so that every tensor stands at a multiple of its element size; then by name.
    let private layout (tensors: (string * Tensor) list) =
        let mutable next = 0L

        tensors
        |> List.map (fun (name, tensor) -> name, tensor, dtypeName name tensor)
        |> List.sortWith (fun (a, _, x) (b, _, y) ->
            match compare SafetensorsHeader.elementSizes[y] SafetensorsHeader.elementSizes[x] with
            | 0 -> String.CompareOrdinal(a, b)
            | order -> order)
        |> List.map (fun (name, tensor, dtype) ->
            let start = next
            next <- start + tensor.numel () * SafetensorsHeader.elementSizes[dtype]

            { Name = name
              Dtype = dtype
              Shape = List.ofArray tensor.shape
              Begin = start
              End = next },
            tensor)

    let private writeTensor (stream: Stream) (tensor: Tensor) =
        use _ = torch.NewDisposeScope()
        let flat = tensor.detach().cpu().contiguous().view -1L
        let chunk = 1L <<< 24

        for start in 0L .. chunk .. flat.numel () - 1L do
            use part = flat.narrow (0L, start, min chunk (flat.numel () - start))
            stream.Write(part.bytes)

    /// <summary>What writes the file's bytes into a stream: for <see cref="M:Reft.Core.AtomicFile.writeAll"/>.</summary>
    /// <param name="metadata">Free-form texts.</param>
    /// <param name="tensors">Names and values; the same ones always give the same bytes.</param>
    /// <exception cref="T:System.ArgumentException">A name comes twice or is reserved, or a dtype has no name in the format.</exception>
    let writer (metadata: Map<string, string>) (tensors: (string * Tensor) list) : Stream -> unit =
        for name, found in tensors |> List.countBy fst do
            if found > 1 then
                invalidArg (nameof tensors) $"tensor '{name}' comes {found} times: names must be unique"

        let layout = layout tensors
        let header = SafetensorsHeader.write metadata (layout |> List.map fst)

        fun stream ->
            stream.Write(header, 0, header.Length)

            for _, tensor in layout do
                writeTensor stream tensor

    /// <summary>Writes a file atomically, tensor by tensor.</summary>
    /// <param name="path">The file.</param>
    /// <param name="metadata">Free-form texts.</param>
    /// <param name="tensors">Names and values, of any device; the same ones always give the same bytes.</param>
    /// <exception cref="T:System.ArgumentException">A name comes twice or is reserved, or a dtype has no name in the format.</exception>
    /// <exception cref="T:System.IO.IOException">Writing failed, e.g. because the disk is full: the old file is intact.</exception>
    let write (path: string) (metadata: Map<string, string>) (tensors: (string * Tensor) list) : unit =
        AtomicFile.write path (writer metadata tensors)

    /// <summary>
    /// Copies of all tensors of a file, by name, in the caller's dispose scope if there is one. For small files, such as
    /// adapters: nothing of the file stays open or mapped.
    /// </summary>
    /// <exception cref="T:System.IO.InvalidDataException">It is no valid safetensors file; the message says why.</exception>
    let readAll (path: string) : Map<string, Tensor> =
        use file = SafetensorsFile.Open path
        file.Copies()
