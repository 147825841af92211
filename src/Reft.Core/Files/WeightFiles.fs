namespace Reft.Core

open System
open System.Collections.Generic
open System.IO

/// <summary>
/// The weights of a model folder as one table, whether they stand in <c>model.safetensors</c> or in several shards that
/// <c>model.safetensors.index.json</c> names.
/// </summary>
[<Sealed>]
type WeightFiles private (folder: string, files: SafetensorsFile list) =

    let table =
        Dictionary<string, struct (SafetensorsFile * TensorEntry)>(StringComparer.Ordinal)

    do
        for file in files do
            for entry in file.Tensors do
                if not (table.TryAdd(entry.Name, struct (file, entry))) then
                    let struct (other, _) = table[entry.Name]
                    raise (InvalidDataException $"{file.Path}: tensor '{entry.Name}' stands in {other.Path} too")

    static let maximumIndexBytes = 100_000_000

    static let plainName (name: string) =
        name.EndsWith(".safetensors", StringComparison.Ordinal)
        && name.IndexOfAny [| '/'; '\\'; ':'; '\000' |] < 0
        && not (name.StartsWith('.'))

    /// Every shard's name with the tensors that the index says it holds.
    static let shards (index: string) =
        JsonValue.read maximumIndexBytes index
        |> JsonValue.field "weight_map"
        |> JsonValue.fields
        |> List.map (fun (tensor, value) ->
            let shard = JsonValue.string value

            // Anything else could point out of the folder.
            if not (plainName shard) then
                raise (JsonValue.unexpected "the plain name of a .safetensors file in the same folder" value)

            shard, tensor)
        |> List.groupBy fst
        |> List.map (fun (shard, rows) -> shard, rows |> List.map snd)
        |> List.sortBy fst

    static let openAll (paths: string list) =
        let opened = ResizeArray<SafetensorsFile>()

        try
            for path in paths do
                opened.Add(SafetensorsFile.Open path)

            List.ofSeq opened
        with _ ->
            for file in opened do
                (file :> IDisposable).Dispose()

            reraise ()

    static let disposeAll (files: SafetensorsFile list) =
        for file in files do
            (file :> IDisposable).Dispose()

    static let requirePromised (index: string) shards (files: SafetensorsFile list) =
        let absent =
            [ for (shard: string, tensors), file in List.zip shards files do
                  for tensor in tensors do
                      if (file: SafetensorsFile).TryFind(tensor).IsNone then
                          $"'{tensor}' (in {shard})" ]

        if not absent.IsEmpty then
            let names = String.concat ", " absent
            raise (InvalidDataException $"{index}: these tensors are not where the index says: {names}")

    static let openShards (folder: string) (index: string) =
        let shards = shards index

        match
            shards
            |> List.filter (fun (shard, _) -> not (File.Exists(Path.Combine(folder, shard))))
        with
        | [] -> ()
        | absent ->
            let names = absent |> List.map fst |> String.concat ", "
            raise (FileNotFoundException($"{folder}: these shards, which {index} names, are missing: {names}"))

        let files =
            shards |> List.map (fun (shard, _) -> Path.Combine(folder, shard)) |> openAll

        try
            requirePromised index shards files
            new WeightFiles(folder, files)
        with _ ->
            disposeAll files
            reraise ()

    /// <summary>Opens the weights of a folder; nothing but headers is read.</summary>
    /// <exception cref="T:System.IO.FileNotFoundException">The folder has no safetensors weights, or a shard is missing.</exception>
    /// <exception cref="T:System.IO.InvalidDataException">A file is not valid; the message says which and why.</exception>
    static member Open(folder: string) : WeightFiles =
        let single = Path.Combine(folder, "model.safetensors")
        let index = single + ".index.json"

        if File.Exists single then
            let file = SafetensorsFile.Open single
            new WeightFiles(folder, [ file ])
        elif File.Exists index then
            openShards folder index
        else
            raise (
                FileNotFoundException(
                    $"{folder} holds no weights: expected model.safetensors or model.safetensors.index.json. Pickled weights (.bin, .pth) are never loaded; convert them to safetensors.",
                    single
                )
            )

    /// <summary>The folder.</summary>
    member _.Folder: string = folder

    /// <summary>
    /// Every tensor by the name that a causal language model gives it: files saved from the bare decoder lack the
    /// leading <c>model.</c>, which is put back.
    /// </summary>
    member _.Tensors: (string * SafetensorsFile * TensorEntry) list =
        let bare =
            table.ContainsKey "embed_tokens.weight"
            && not (table.ContainsKey "model.embed_tokens.weight")

        [ for KeyValue(name, struct (file, entry)) in table ->
              (if bare && name <> "lm_head.weight" then
                   $"model.{name}"
               else
                   name),
              file,
              entry ]

    interface IDisposable with
        member _.Dispose() = disposeAll files
