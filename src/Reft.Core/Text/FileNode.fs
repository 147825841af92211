namespace Reft.Core

open System
open System.IO
open System.Text.Json

/// Where a value stands in a JSON file. A vocabulary has hundreds of thousands of them: spelled out only in a complaint.
[<RequireQualifiedAccess>]
type internal JsonPath =
    | Root
    | Member of JsonPath * name: string
    | Item of JsonPath * index: int

    override path.ToString() =
        match path with
        | Root -> "$"
        | Member(parent, name) -> $"{parent}.{name}"
        | Item(parent, index) -> $"{parent}[{index}]"

/// A value of a JSON file that knows where it stands, so that every complaint names the file and the path.
[<NoEquality; NoComparison>]
type internal FileNode =
    { File: string
      Path: JsonPath
      Value: JsonElement }

[<RequireQualifiedAccess>]
module internal FileNode =

    /// The largest file that is read: several times the largest tokenizer in use.
    let private sizeLimit = 256L * 1024L * 1024L

    let error (node: FileNode) (message: string) : exn =
        InvalidDataException $"{node.File}: {node.Path}: {message}"

    let fail (node: FileNode) (message: string) : 'a = raise (error node message)

    let private kind (node: FileNode) =
        match node.Value.ValueKind with
        | JsonValueKind.Object -> "an object"
        | JsonValueKind.Array -> "an array"
        | JsonValueKind.String -> "a string"
        | JsonValueKind.Number -> $"the number {node.Value.GetRawText()}"
        | JsonValueKind.True -> "true"
        | JsonValueKind.False -> "false"
        | _ -> "null"

    let private expect what node : 'a =
        fail node $"expected {what}, found {kind node}"

    /// Parses a file and hands its root on; the document lives for that call.
    let readFile (path: string) (read: FileNode -> 'a) : 'a =
        let length = FileInfo(path).Length

        if length > sizeLimit then
            raise (InvalidDataException $"{path}: the file has {length} bytes: expected at most {sizeLimit}")

        use document =
            try
                use stream = File.OpenRead path

                JsonDocument.Parse(stream, JsonDocumentOptions(AllowDuplicateProperties = false))
            with
            | :? JsonException as e ->
                raise (InvalidDataException($"{path}: not valid JSON (truncated or damaged?): {e.Message}", e))
            | :? InvalidOperationException as e ->
                // Half a surrogate pair in a member's name.
                raise (InvalidDataException($"{path}: a member's name is not valid Unicode: {e.Message}", e))

        read
            { File = path
              Path = JsonPath.Root
              Value = document.RootElement }

    let isNull (node: FileNode) =
        node.Value.ValueKind = JsonValueKind.Null

    /// JSON can spell half a surrogate pair, which is no text: GetString refuses it with another exception type.
    let private text (node: FileNode) (get: unit -> string | null) : string =
        try
            match get () with
            | null -> expect "a string" node
            | s -> s
        with :? InvalidOperationException ->
            fail node "the string is not valid Unicode"

    let string (node: FileNode) : string =
        match node.Value.ValueKind with
        | JsonValueKind.String -> text node node.Value.GetString
        | _ -> expect "a string" node

    let bool (node: FileNode) : bool =
        match node.Value.ValueKind with
        | JsonValueKind.True -> true
        | JsonValueKind.False -> false
        | _ -> expect "true or false" node

    let private whole (what: string) (node: FileNode) : int =
        match node.Value.ValueKind with
        | JsonValueKind.Number ->
            match node.Value.TryGetInt32() with
            | true, n when n >= 0 -> n
            | _ -> expect $"{what} of 0 … {Int32.MaxValue}" node
        | _ -> expect what node

    /// A token id.
    let id (node: FileNode) : int = whole "a token id" node

    /// A whole number of 0 … 2³¹ − 1.
    let natural (node: FileNode) : int = whole "a whole number" node

    let float (node: FileNode) : float =
        match node.Value.ValueKind with
        | JsonValueKind.Number ->
            match node.Value.TryGetDouble() with
            | true, x when Double.IsFinite x -> x
            | _ -> expect "a finite number" node
        | _ -> expect "a number" node

    /// Exactly one character, as Rust counts: a pair of surrogates is one.
    let character (node: FileNode) : string =
        let text = string node

        if text = "" || text.EnumerateRunes() |> Seq.length <> 1 then
            expect "one character" node

        text

    let items (node: FileNode) : FileNode seq =
        match node.Value.ValueKind with
        | JsonValueKind.Array ->
            node.Value.EnumerateArray()
            |> Seq.mapi (fun i value ->
                { node with
                    Path = JsonPath.Item(node.Path, i)
                    Value = value })
        | _ -> expect "an array" node

    let private demandObject (node: FileNode) =
        if node.Value.ValueKind <> JsonValueKind.Object then
            expect "an object" node

    /// How many members an object has.
    let count (node: FileNode) : int =
        demandObject node
        node.Value.GetPropertyCount()

    let members (node: FileNode) : (string * FileNode) seq =
        demandObject node

        node.Value.EnumerateObject()
        |> Seq.map (fun property ->
            let name = text node (fun () -> property.Name)

            name,
            { node with
                Path = JsonPath.Member(node.Path, name)
                Value = property.Value })

    /// A member that may be absent; null counts as absent.
    let tryGet (name: string) (node: FileNode) : FileNode option =
        demandObject node

        match node.Value.TryGetProperty name with
        | true, value when value.ValueKind <> JsonValueKind.Null ->
            Some
                { node with
                    Path = JsonPath.Member(node.Path, name)
                    Value = value }
        | _ -> None

    let get (name: string) (node: FileNode) : FileNode =
        match tryGet name node with
        | Some found -> found
        | None -> fail node $"expected a member '{name}', found none"

    let flag (name: string) (ifAbsent: bool) (node: FileNode) : bool =
        tryGet name node |> Option.map bool |> Option.defaultValue ifAbsent

    /// Refuses members that nothing here reads: an option that is not understood may change the tokens.
    let only (known: string list) (node: FileNode) : unit =
        for name, value in members node do
            if not (List.contains name known) then
                let known = String.Join(", ", known)
                fail value $"the option '{name}' is not supported; known here: {known}"
