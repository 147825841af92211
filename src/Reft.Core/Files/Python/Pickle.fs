namespace Reft.Core

open System
open System.Collections.Generic
open System.IO
open System.Text
open TorchSharp

/// A storage that a pickle refers to: an entry of the archive beside it.
[<NoEquality; NoComparison>]
type internal PickledStorage =
    {
        /// The entry's name below <c>data/</c>.
        Key: string
        Dtype: torch.ScalarType
        /// Its elements, as the pickle says.
        Count: int64
    }

/// A tensor of a pickle: which elements of which storage.
[<NoEquality; NoComparison>]
type internal PickledTensor =
    { Storage: PickledStorage
      Offset: int64
      Shape: int64[]
      Strides: int64[] }

/// Reading pickles of state dicts, the dictionaries of tensors that <c>torch.save</c> writes. A pickle is a program; this
/// runs those of its instructions that build texts, numbers, tuples, dictionaries and tensors, and nothing else: there is
/// no instruction here that could call what the file names.
[<RequireQualifiedAccess>]
module internal Pickle =

    /// Far more than a state dict's table; the numbers themselves stand outside the pickle.
    [<Literal>]
    let MaximumLength = 16_777_216

    /// The table of more than 20 000 tensors. Of an instruction comes at most one value, so that values are bounded too.
    [<Literal>]
    let private MaximumInstructions = 1_048_576

    /// The most dimensions that libtorch computes with.
    [<Literal>]
    let private MaximumDimensions = 64

    /// What a pickle may name.
    [<RequireQualifiedAccess>]
    type private Known =
        | OrderedDict
        | RebuildTensor
        | RebuildParameter
        | Storage of torch.ScalarType

    /// Values are never compared or walked, so that sharing and nesting cost nothing.
    [<RequireQualifiedAccess; NoEquality; NoComparison>]
    type private Value =
        | Mark
        | None
        | Flag of bool
        | Number of int64
        | Text of string
        | Tuple of Value[]
        | Dictionary of Dictionary<string, Value>
        | Known of Known
        | Storage of PickledStorage
        | Tensor of PickledTensor

    let private storages =
        [ "Double", torch.ScalarType.Float64
          "Float", torch.ScalarType.Float32
          "Half", torch.ScalarType.Float16
          "BFloat16", torch.ScalarType.BFloat16
          "Long", torch.ScalarType.Int64
          "Int", torch.ScalarType.Int32
          "Short", torch.ScalarType.Int16
          "Char", torch.ScalarType.Int8
          "Byte", torch.ScalarType.Byte
          "Bool", torch.ScalarType.Bool ]

    /// torch's class of storages of a type.
    let storageOf (dtype: torch.ScalarType) : string option =
        storages
        |> List.tryFind (snd >> (=) dtype)
        |> Option.map (fun (name, _) -> name + "Storage")

    let private known =
        Map
            [ ("collections", "OrderedDict"), Known.OrderedDict
              ("torch._utils", "_rebuild_tensor_v2"), Known.RebuildTensor
              ("torch._utils", "_rebuild_parameter"), Known.RebuildParameter
              for name, dtype in storages do
                  ("torch", name + "Storage"), Known.Storage dtype ]

    let private describe value =
        match value with
        | Value.Mark -> "a mark"
        | Value.None -> "None"
        | Value.Flag flag -> if flag then "True" else "False"
        | Value.Number n -> $"the number {n}"
        | Value.Text _ -> "a text"
        | Value.Tuple items -> $"a tuple of {items.Length}"
        | Value.Dictionary items -> $"a dictionary of {items.Count}"
        | Value.Known _ -> "a class or function"
        | Value.Storage _ -> "a storage"
        | Value.Tensor _ -> "a tensor"

    /// One run over the bytes. A class, since a program has a state.
    [<Sealed>]
    type private Reader(file: string, bytes: ReadOnlyMemory<byte>) =

        let utf8 = UTF8Encoding(false, true)
        let stack = Stack<Value>()
        let memo = ResizeArray<Value>()
        let mutable next = 0
        let mutable start = 0
        let mutable steps = 0

        let refuse (message: string) : 'T =
            raise (InvalidDataException $"{file}: {message} at byte {start} of its pickle")

        let take count : ReadOnlyMemory<byte> =
            if count < 0 || count > bytes.Length - next then
                refuse $"expected {count} more bytes, found {bytes.Length - next},"

            let taken = bytes.Slice(next, count)
            next <- next + count
            taken

        let byte () = (take 1).Span[0]

        let uint16 () =
            Buffers.Binary.BinaryPrimitives.ReadUInt16LittleEndian((take 2).Span)

        let int32 () =
            Buffers.Binary.BinaryPrimitives.ReadInt32LittleEndian((take 4).Span)

        let decode (taken: ReadOnlyMemory<byte>) : string =
            try
                utf8.GetString taken.Span
            with :? DecoderFallbackException ->
                refuse "expected a text in UTF-8, found other bytes"

        let line () =
            match bytes.Span.Slice(next).IndexOf 10uy with
            | -1 -> refuse "expected a name that ends with a line, found none"
            | length ->
                let text = take length |> decode
                take 1 |> ignore
                text

        let pop () =
            match stack.TryPop() with
            | true, value -> value
            | _ -> refuse "expected a value on the stack, found none"

        let top () =
            match stack.TryPeek() with
            | true, value -> value
            | _ -> refuse "expected a value on the stack, found none"

        let popText () =
            match pop () with
            | Value.Text text -> text
            | other -> refuse $"expected a text, found {describe other}"

        /// The values above the last mark, the lowest first.
        let popToMark () =
            let items = ResizeArray<Value>()
            let mutable searching = true

            while searching do
                match pop () with
                | Value.Mark -> searching <- false
                | value -> items.Add value

            items.Reverse()
            items.ToArray()

        let popTuple count =
            let items = Array.init count (fun _ -> pop ())
            Array.Reverse items
            stack.Push(Value.Tuple items)

        /// Picklers number what they remember one by one.
        let remember (index: uint32) =
            if index < uint32 memo.Count then
                memo[int index] <- top ()
            elif index = uint32 memo.Count then
                memo.Add(top ())
            else
                refuse $"expected to remember a value as 0 … {memo.Count}, found {index}"

        let recall (index: uint32) =
            if index < uint32 memo.Count then
                stack.Push memo[int index]
            else
                refuse $"expected a value that was remembered as {index}, found none"

        let find (modul: string) (name: string) =
            match known.TryFind(modul, name) with
            | Some found -> stack.Push(Value.Known found)
            | None ->
                refuse
                    $"it names {modul}.{name}, which this library does not load: expected the tensors of a state dict alone (collections.OrderedDict, torch._utils._rebuild_tensor_v2, torch.*Storage). Save it again in Python with torch.save(model.state_dict(), file), or as safetensors; the name stands"

        let add (target: Value) (key: Value) (value: Value) =
            match target, key with
            | Value.Dictionary items, Value.Text key ->
                if not (items.TryAdd(key, value)) then
                    refuse $"the key '{key}' comes twice"
            | Value.Dictionary _, other -> refuse $"expected a text as a key, found {describe other}"
            | other, _ -> refuse $"expected a dictionary to set a key of, found {describe other}"

        let addAll () =
            let items = popToMark ()
            let target = top ()

            if items.Length % 2 <> 0 then
                refuse $"expected keys and values in pairs, found {items.Length} values"

            for i in 0..2 .. items.Length - 2 do
                add target items[i] items[i + 1]

        let sizes what (value: Value) : int64[] =
            match value with
            | Value.Tuple items when items.Length <= MaximumDimensions ->
                items
                |> Array.map (function
                    | Value.Number n when n >= 0L -> n
                    | other -> refuse $"expected a whole number ≥ 0 in a tensor's {what}, found {describe other}")
            | other ->
                refuse $"expected a tensor's {what} as a tuple of at most {MaximumDimensions}, found {describe other}"

        let tensor storage offset shape strides =
            match storage, offset with
            | Value.Storage storage, Value.Number offset when offset >= 0L ->
                let shape, strides = sizes "shape" shape, sizes "strides" strides

                if shape.Length <> strides.Length then
                    refuse $"expected a stride for each of {shape.Length} dimensions, found {strides.Length}"

                { Storage = storage
                  Offset = offset
                  Shape = shape
                  Strides = strides }
            | _ -> refuse $"expected a storage and an offset, found {describe storage} and {describe offset}"

        let call () =
            let arguments =
                match pop () with
                | Value.Tuple arguments -> arguments
                | other -> refuse $"expected a tuple of arguments, found {describe other}"

            match pop (), arguments with
            | Value.Known Known.OrderedDict, [||] -> stack.Push(Value.Dictionary(Dictionary StringComparer.Ordinal))
            | Value.Known Known.RebuildTensor,
              [| storage; offset; shape; strides; Value.Flag _; Value.Dictionary hooks |] when hooks.Count = 0 ->
                stack.Push(Value.Tensor(tensor storage offset shape strides))
            | Value.Known Known.RebuildParameter, [| Value.Tensor tensor; Value.Flag _; Value.Dictionary hooks |] when
                hooks.Count = 0
                ->
                stack.Push(Value.Tensor tensor)
            | Value.Known _, _ -> refuse $"it calls a known name with {arguments.Length} arguments of another form"
            | other, _ -> refuse $"it calls {describe other}: expected a class or function"

        /// torch's id of a storage: ('storage', class, key, device, number of elements).
        let persistent () =
            match pop () with
            | Value.Tuple [| Value.Text "storage"
                             Value.Known(Known.Storage dtype)
                             Value.Text key
                             Value.Text _
                             Value.Number count |] when count >= 0L ->
                stack.Push(
                    Value.Storage
                        { Key = key
                          Dtype = dtype
                          Count = count }
                )
            | other -> refuse $"expected the id of a storage, found {describe other}"

        /// Modules add to their state dict an attribute with the versions of their parts, which says nothing of the tensors.
        let build () =
            match pop (), top () with
            | Value.Dictionary state, Value.Dictionary _ when state.Count = 1 && state.ContainsKey "_metadata" -> ()
            | state, target -> refuse $"it sets attributes of {describe target} from {describe state}"

        let long () =
            let taken = take (int (byte ()))

            if taken.Length > 8 then
                refuse $"expected a number of at most 8 bytes, found {taken.Length}"

            let mutable number =
                if taken.Length > 0 && taken.Span[taken.Length - 1] >= 128uy then
                    -1L
                else
                    0L

            for i = taken.Length - 1 downto 0 do
                number <- (number <<< 8) ||| int64 taken.Span[i]

            stack.Push(Value.Number number)

        /// Runs one instruction; false at the last.
        let step () =
            start <- next
            steps <- steps + 1

            if steps > MaximumInstructions then
                refuse $"expected at most {MaximumInstructions} instructions, found more"

            match byte () with
            | 0x80uy -> // PROTO
                let version = byte ()

                if version < 2uy || version > 5uy then
                    refuse $"expected a pickle of protocol 2 … 5, found {version}"
            | 0x95uy -> // FRAME: a hint for streams
                take 8 |> ignore
            | 'c'B -> // GLOBAL
                let modul = line ()
                find modul (line ())
            | 0x93uy -> // STACK_GLOBAL
                let name = popText ()
                find (popText ()) name
            | 'q'B -> remember (uint32 (byte ())) // BINPUT
            | 'r'B -> remember (uint32 (int32 ())) // LONG_BINPUT
            | 0x94uy -> remember (uint32 memo.Count) // MEMOIZE
            | 'h'B -> recall (uint32 (byte ())) // BINGET
            | 'j'B -> recall (uint32 (int32 ())) // LONG_BINGET
            | '('B -> stack.Push Value.Mark
            | ')'B -> stack.Push(Value.Tuple [||])
            | 't'B -> stack.Push(Value.Tuple(popToMark ()))
            | 0x85uy -> popTuple 1
            | 0x86uy -> popTuple 2
            | 0x87uy -> popTuple 3
            | 'X'B -> stack.Push(Value.Text(take (int32 ()) |> decode)) // BINUNICODE
            | 0x8Cuy -> stack.Push(Value.Text(take (int (byte ())) |> decode)) // SHORT_BINUNICODE
            | 'K'B -> stack.Push(Value.Number(int64 (byte ()))) // BININT1
            | 'M'B -> stack.Push(Value.Number(int64 (uint16 ()))) // BININT2
            | 'J'B -> stack.Push(Value.Number(int64 (int32 ()))) // BININT
            | 0x8Auy -> long () // LONG1
            | 'N'B -> stack.Push Value.None
            | 0x88uy -> stack.Push(Value.Flag true)
            | 0x89uy -> stack.Push(Value.Flag false)
            | '}'B -> stack.Push(Value.Dictionary(Dictionary StringComparer.Ordinal))
            | 's'B -> // SETITEM
                let value = pop ()
                let key = pop ()
                add (top ()) key value
            | 'u'B -> addAll () // SETITEMS
            | 'R'B -> call () // REDUCE
            | 'Q'B -> persistent () // BINPERSID
            | 'b'B -> build () // BUILD
            | '.'B -> ()
            | other ->
                refuse
                    $"it has the instruction 0x{other:X2}, which this library does not run: expected the tensors of a state dict alone. Save it again in Python with torch.save(model.state_dict(), file), or as safetensors; the instruction stands"

            bytes.Span[start] <> '.'B

        /// The tensors by name, in the order of the file.
        member _.Read() : (string * PickledTensor) list =
            while step () do
                ()

            match pop () with
            | Value.Dictionary items when stack.Count = 0 ->
                [ for KeyValue(name, value) in items do
                      match value with
                      | Value.Tensor tensor -> name, tensor
                      | other -> refuse $"expected a tensor under '{name}', found {describe other}" ]
            | Value.Dictionary _ -> refuse $"expected one dictionary, found {stack.Count} values besides"
            | other -> refuse $"expected a dictionary of tensors, found {describe other}"

    /// <summary>The tensors of a pickle by name, in its order.</summary>
    /// <param name="file">What the complaints call it.</param>
    /// <param name="bytes">The pickle.</param>
    /// <exception cref="T:System.IO.InvalidDataException">It holds or does anything else; the message says what and where.</exception>
    let read (file: string) (bytes: ReadOnlyMemory<byte>) : (string * PickledTensor) list = Reader(file, bytes).Read()
