namespace Reft.Core

open System
open System.IO
open System.Text.Encodings.Web
open System.Text.Json

/// <summary>A row of a safetensors file's table.</summary>
type TensorEntry =
    {
        /// The tensor's name.
        Name: string
        /// Its type as the file writes it, e.g. <c>BF16</c>.
        Dtype: string
        /// Its shape; a scalar has none.
        Shape: int64 list
        /// Where its bytes begin in the data section.
        Begin: int64
        /// The byte after its last.
        End: int64
    }

    /// <summary>The number of its bytes.</summary>
    member entry.Bytes = entry.End - entry.Begin

/// <summary>The header of a safetensors file: its table and its free-form texts.</summary>
type SafetensorsHeader =
    {
        /// In the order of the data section.
        Tensors: TensorEntry list
        /// The texts under <c>__metadata__</c>.
        Metadata: Map<string, string>
        /// Where the data section begins in the file.
        DataStart: int64
    }

/// <summary>
/// The header of the safetensors format: 8 bytes of its length N, N bytes of JSON, then the data section, which the
/// tensors fill without holes or overlaps.
/// </summary>
[<RequireQualifiedAccess>]
module SafetensorsHeader =

    /// <summary>The longest header that the format allows, in bytes.</summary>
    [<Literal>]
    let MaximumLength = 100_000_000

    /// The most dimensions that libtorch computes with.
    [<Literal>]
    let private MaximumDimensions = 64

    [<Literal>]
    let private MetadataKey = "__metadata__"

    /// <summary>Every type of the format with the bytes of an element; some have no counterpart in libtorch.</summary>
    let elementSizes: Map<string, int64> =
        Map
            [ for name in [ "BOOL"; "U8"; "I8"; "F8_E5M2"; "F8_E4M3"; "F8_E8M0" ] -> name, 1L
              for name in [ "I16"; "U16"; "F16"; "BF16" ] -> name, 2L
              for name in [ "I32"; "U32"; "F32" ] -> name, 4L
              for name in [ "I64"; "U64"; "F64"; "C64" ] -> name, 8L ]

    let private refuse (file: string) (message: string) : 'T =
        raise (InvalidDataException $"{file}: {message}")

    /// The number of bytes that a shape takes, or a complaint where it does not fit 63 bits. Of an empty tensor the other
    /// sides must fit: libtorch multiplies them for its strides.
    let private byteSize file name dtype (shape: int64 list) =
        let size = elementSizes[dtype]

        let sides =
            try
                shape |> List.fold (fun total side -> Checked.(*) total (max 1L side)) size
            with :? OverflowException ->
                let text = String.Join(", ", shape)
                refuse file $"tensor '{name}': expected a shape of fewer than 2^63 bytes, found [{text}]"

        if List.contains 0L shape then 0L else sides

    let private entry file (name: string, info: JsonValue) =
        let info = { info with Key = $"tensor '{name}'" }

        for key, _ in JsonValue.fields info do
            if key <> "dtype" && key <> "shape" && key <> "data_offsets" then
                refuse file $"tensor '{name}': expected the keys dtype, shape and data_offsets, found '{key}'"

        let dtype = info |> JsonValue.field "dtype" |> JsonValue.string

        if not (elementSizes.ContainsKey dtype) then
            let known = elementSizes |> Map.keys |> String.concat ", "
            refuse file $"tensor '{name}': expected a dtype of {known}, found '{dtype}'"

        let shape =
            info |> JsonValue.field "shape" |> JsonValue.items |> List.map JsonValue.natural

        if shape.Length > MaximumDimensions then
            refuse file $"tensor '{name}': expected at most {MaximumDimensions} dimensions, found {shape.Length}"

        match
            info
            |> JsonValue.field "data_offsets"
            |> JsonValue.items
            |> List.map JsonValue.natural
        with
        | [ first; last ] when first <= last ->
            let expected = byteSize file name dtype shape

            if last - first <> expected then
                let text = String.Join(", ", shape)

                refuse
                    file
                    $"tensor '{name}': expected {expected} bytes for {dtype} [{text}], found {last - first} (data_offsets {first} … {last})"

            { Name = name
              Dtype = dtype
              Shape = shape
              Begin = first
              End = last }
        | offsets ->
            let text = String.Join(", ", offsets)
            refuse file $"tensor '{name}': expected data_offsets [begin, end] with begin ≤ end, found [{text}]"

    let private requireContiguous file (available: int64) (entries: TensorEntry list) =
        let filled =
            (0L, entries)
            ||> List.fold (fun expected entry ->
                if entry.Begin <> expected then
                    refuse
                        file
                        $"tensor '{entry.Name}': expected to begin at byte {expected} of the data section, without a hole or an overlap, found {entry.Begin}"

                entry.End)

        if filled <> available then
            refuse file $"expected a data section of {filled} bytes as the header describes, found {available}"

    let private metadata file (root: JsonValue) =
        if JsonValue.hasField MetadataKey root then
            root
            |> JsonValue.field MetadataKey
            |> JsonValue.fields
            |> List.map (fun (key, value) -> key, JsonValue.string value)
            |> Map
        else
            Map.empty

    /// <summary>Reads and checks the header; nothing of the data section is read.</summary>
    /// <param name="file">What the complaints call the file.</param>
    /// <param name="stream">At its start; its length bounds every offset.</param>
    /// <exception cref="T:System.IO.InvalidDataException">The file is no valid safetensors file; the message says why.</exception>
    let read (file: string) (stream: Stream) : SafetensorsHeader =
        let fileLength = stream.Length

        if fileLength < 8L then
            refuse file $"expected a safetensors file, which has at least 8 bytes, found {fileLength}"

        let prefix = Array.zeroCreate<byte> 8
        stream.ReadExactly(prefix.AsSpan())

        let length =
            System.Buffers.Binary.BinaryPrimitives.ReadUInt64LittleEndian(ReadOnlySpan prefix)

        let maximum = min (uint64 MaximumLength) (uint64 (fileLength - 8L))

        if length > maximum then
            refuse
                file
                $"expected a header of at most {maximum} bytes, found a length of {length}: the file is truncated or not safetensors"

        let json = Array.zeroCreate<byte>(int length)
        stream.ReadExactly(json.AsSpan())

        if json.Length = 0 || json[0] <> byte '{' then
            refuse file "expected a header that begins with '{'"

        let root = JsonValue.parse file (ReadOnlyMemory json)

        let tensors =
            JsonValue.fields root
            |> List.filter (fun (name, _) -> name <> MetadataKey)
            |> List.map (entry file)
            |> List.sortBy (fun entry -> entry.Begin, entry.End)

        let start = 8L + int64 length
        requireContiguous file (fileLength - start) tensors

        { Tensors = tensors
          Metadata = metadata file root
          DataStart = start }

    let private json (metadata: Map<string, string>) (tensors: TensorEntry list) =
        use buffer = new MemoryStream()

        let options =
            JsonWriterOptions(Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping)

        (use writer = new Utf8JsonWriter(buffer, options)
         writer.WriteStartObject()

         if not metadata.IsEmpty then
             writer.WriteStartObject MetadataKey

             for KeyValue(key, value) in metadata do
                 writer.WriteString(key, value)

             writer.WriteEndObject()

         for entry in tensors do
             writer.WriteStartObject entry.Name
             writer.WriteString("dtype", entry.Dtype)
             writer.WriteStartArray "shape"
             entry.Shape |> List.iter writer.WriteNumberValue
             writer.WriteEndArray()
             writer.WriteStartArray "data_offsets"
             writer.WriteNumberValue entry.Begin
             writer.WriteNumberValue entry.End
             writer.WriteEndArray()
             writer.WriteEndObject()

         writer.WriteEndObject())

        buffer.ToArray()

    /// <summary>
    /// The bytes before the data section, padded with spaces so that it begins at a multiple of 8.
    /// </summary>
    /// <exception cref="T:System.ArgumentException">A name is reserved or the header would be too long.</exception>
    let write (metadata: Map<string, string>) (tensors: TensorEntry list) : byte[] =
        if tensors |> List.exists (fun entry -> entry.Name = MetadataKey) then
            invalidArg (nameof tensors) $"no tensor can be named '{MetadataKey}': the format reserves it"

        let json = json metadata tensors
        let padded = (json.Length + 7) / 8 * 8

        if padded > MaximumLength then
            invalidArg (nameof tensors) $"expected a header of at most {MaximumLength} bytes, found {padded}"

        [| yield! BitConverter.GetBytes(uint64 padded)
           yield! json
           yield! Array.create (padded - json.Length) (byte ' ') |]
