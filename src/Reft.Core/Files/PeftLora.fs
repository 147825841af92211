namespace Reft.Core

open System
open System.Collections.Generic
open System.IO
open System.Security.Cryptography
open System.Text
open System.Text.RegularExpressions
open TorchSharp

/// <summary>
/// LoRA adapters as peft saves them: <c>adapter_config.json</c> and <c>adapter_model.safetensors</c> (Hu et al.,
/// arXiv 2106.09685). Loading reads the plain kind, which adds scale · B A to linear maps, and DoRA, which then sets the
/// magnitude of each output (Liu et al., arXiv 2402.09353); their many relatives are refused by name rather than computed
/// wrongly.
/// </summary>
[<Sealed>]
type LoraAdapter
    internal
    (
        folder: string,
        updates: IReadOnlyDictionary<string, LowRankUpdate>,
        magnitudes: IReadOnlyDictionary<string, Tensor>,
        fingerprint: string
    ) =

    /// <summary>Where it was loaded from.</summary>
    member _.Folder: string = folder

    /// <summary>What it adds, by the name of the linear map without <c>.weight</c>: fp32, on the CPU.</summary>
    member _.Updates: IReadOnlyDictionary<string, LowRankUpdate> = updates

    /// <summary>
    /// The magnitudes of outputs that DoRA sets in place of those of the sum, by the same names; none in LoRA. fp32, on the CPU. [out]
    /// </summary>
    member _.Magnitudes: IReadOnlyDictionary<string, Tensor> = magnitudes

    /// <summary>What tells it from other adapters: SHA-256 over names, matrices, scales and magnitudes.</summary>
    member _.Fingerprint: string = fingerprint

    interface IDisposable with
        member _.Dispose() =
            for update in updates.Values do
                update.Down.Dispose()
                update.Up.Dispose()

            for magnitude in magnitudes.Values do
                magnitude.Dispose()

/// <summary>Reading peft's LoRA adapters.</summary>
[<RequireQualifiedAccess>]
module PeftLora =

    [<Literal>]
    let private ConfigName = "adapter_config.json"

    [<Literal>]
    let private WeightsName = "adapter_model.safetensors"

    [<Literal>]
    let private LargestConfig = 16_777_216

    /// Keys whose value changes what is computed, and whether a value is that of plain LoRA; why not, otherwise.
    let private plain =
        let isNothing (value: JsonValue) =
            match value.Element.ValueKind with
            | Text.Json.JsonValueKind.False -> true
            | Text.Json.JsonValueKind.Array -> value.Element.GetArrayLength() = 0
            | Text.Json.JsonValueKind.Object -> JsonValue.fields value |> List.isEmpty
            | _ -> false

        [ for key, why in
              [ "lora_bias", "trained biases of the low-rank maps are not supported: merge it into the model in Python"
                "modules_to_save",
                "modules that were trained as a whole are not supported: merge it into the model in Python"
                "layer_replication", "repeated layers are another model than the base model"
                "target_parameters", "updates of bare parameters are not supported"
                "trainable_token_indices", "trained token embeddings are not supported"
                "alora_invocation_tokens", "activated LoRA, which acts after certain tokens, is not supported"
                "use_qalora", "QALoRA is not supported"
                "use_bdlora", "BD-LoRA is not supported"
                "kasa_config", "KaSA is not supported"
                "arrow_config", "Arrow routing is not supported"
                "monteclora_config", "MonteCLoRA is not supported"
                "velora_config", "VeLoRA is not supported" ] do
              key, isNothing, why

          "bias",
          (fun value -> JsonValue.string value = "none"),
          "trained biases of the base model are not supported: merge it into the model in Python"
          "init_lora_weights",
          (fun value ->
              match value.Element.ValueKind with
              | Text.Json.JsonValueKind.String ->
                  List.contains (JsonValue.string value) [ "gaussian"; "orthogonal"; "eva" ]
              | _ -> true),
          "this start changed the base model's weights in training, and the adapter does not fit the unchanged ones: save it with path_initial_model_for_weight_conversion" ]

    let private requirePlain (root: JsonValue) =
        let kind = root |> JsonValue.field "peft_type"

        if JsonValue.string kind <> "LORA" then
            raise (JsonValue.unexpected "a LoRA adapter, peft_type LORA" kind)

        for key, isPlain, why in plain do
            match root |> JsonValue.tryField key with
            | Some value when not (isPlain value) ->
                raise (InvalidDataException $"{value.File}: key '{key}': {why}; found {value.Element.GetRawText()}")
            | _ -> ()

    /// The most regular expressions of a table: compiled, each takes some hundred KB.
    [<Literal>]
    let private MostExpressions = 256

    /// The most entries of a table, far above the number of a model's modules.
    [<Literal>]
    let private MostPatterns = 65_536

    /// The most characters of a regular expression.
    [<Literal>]
    let private LongestExpression = 4_096

    /// Whether a name is a pattern of word characters, \. and the dot that is any character, or ends in it after a dot.
    /// None where a pattern is a true regular expression.
    let private literal (pattern: string) : (string -> bool) option =
        let exact = pattern.Replace(@"\.", "\000")

        let isPlain c =
            Char.IsAsciiLetterOrDigit c || c = '_' || c = '.' || c = '\000'

        if pattern.Contains '\000' || not (Seq.forall isPlain exact) then
            None
        else
            let agrees (name: string) start i =
                match exact[i], name[start + i] with
                | '.', found -> found <> '\n'
                | '\000', found -> found = '.'
                | expected, found -> found = expected

            Some(fun name ->
                let start = name.Length - exact.Length

                start >= 0
                && (start = 0 || name[start - 1] = '.')
                && Seq.forall (agrees name start) (seq { exact.Length - 1 .. -1 .. 0 }))

    /// peft's rule for rank_pattern and alpha_pattern: the first key that is the end of a module's name, as a regular
    /// expression. The kind that cannot take exponential time.
    let private patterns (key: string) (read: JsonValue -> 'T) (root: JsonValue) : (string -> 'T option) =
        let entries =
            root
            |> JsonValue.tryField key
            |> Option.map JsonValue.fields
            |> Option.defaultValue []

        let refuse what most found : 'T2 =
            raise (InvalidDataException $"{root.File}: key '{key}': expected at most {most} {what}, found {found}")

        if entries.Length > MostPatterns then
            refuse "patterns" MostPatterns entries.Length

        let expressions =
            entries |> List.filter (fun (pattern, _) -> (literal pattern).IsNone)

        if expressions.Length > MostExpressions then
            refuse "regular expressions, beside plain names" MostExpressions expressions.Length

        for pattern, _ in expressions do
            if pattern.Length > LongestExpression then
                refuse "characters of a regular expression" LongestExpression pattern.Length

        let table =
            entries
            |> List.map (fun (pattern, value) ->
                try
                    let matches =
                        match literal pattern with
                        | Some matches -> matches
                        | None ->
                            Regex(
                                $@"^(.*\.)?({pattern})$",
                                RegexOptions.NonBacktracking ||| RegexOptions.CultureInvariant
                            )
                                .IsMatch

                    matches, read value
                with
                | :? ArgumentException
                | :? NotSupportedException as e ->
                    raise (InvalidDataException($"{value.File}: key '{value.Key}': {e.Message}", e)))

        fun name ->
            table
            |> List.tryPick (fun (matches, value) -> if matches name then Some value else None)

    /// A low-rank matrix of the file.
    [<NoEquality; NoComparison>]
    type private Part =
        {
            /// The linear map, as this library names it.
            Module: string
            /// The same as the file names it, which patterns are about.
            Named: string
            /// A or B.
            Which: string
            Entry: TensorEntry
        }

    let private parsed (path: string) (family: Family) (entry: TensorEntry) : Part =
        let refuse reason : 'T =
            raise (InvalidDataException $"{path}: tensor '{entry.Name}': {reason}")

        let name =
            Regex(@"^base_model\.model\.(.+)\.lora_([AB])(?:\.default)?\.weight$", RegexOptions.NonBacktracking)

        let found = name.Match entry.Name

        let magnitude =
            Regex(
                @"^base_model\.model\.(.+)\.lora_magnitude_vector(?:\.default)?(?:\.weight)?$",
                RegexOptions.NonBacktracking
            )

        let ofDora = magnitude.Match entry.Name

        if ofDora.Success then
            let weight = family.Rename(ofDora.Groups[1].Value + ".weight")

            { Module = weight.Substring(0, weight.Length - ".weight".Length)
              Named = ofDora.Groups[1].Value
              Which = "magnitude"
              Entry = entry }
        elif found.Success then
            let weight = family.Rename(found.Groups[1].Value + ".weight")

            { Module = weight.Substring(0, weight.Length - ".weight".Length)
              Named = found.Groups[1].Value
              Which = found.Groups[2].Value
              Entry = entry }
        elif entry.Name.Contains "lora_embedding" then
            refuse "low-rank updates of embeddings are not supported: merge it into the model in Python"
        else
            refuse "expected base_model.model.MODULE.lora_A.weight or lora_B.weight"

    let private fp32 (file: SafetensorsFile) (entry: TensorEntry) : Tensor =
        use _ = torch.NewDisposeScope()
        let stored = file.Read entry.Name

        if not (stored.is_floating_point ()) then
            raise (
                InvalidDataException
                    $"{file.Path}: tensor '{entry.Name}': expected floating-point numbers (F64, F32, F16 or BF16), found {entry.Dtype}"
            )

        let value = stored.``to``(torch.float32).clone()

        if not (value.isfinite().all().item<bool>()) then
            raise (InvalidDataException $"{file.Path}: tensor '{entry.Name}' holds numbers that are not finite")

        value.DetachFromDisposeScope()

    let private hashOf (updates: (string * LowRankUpdate) list) (magnitudes: IReadOnlyDictionary<string, Tensor>) =
        use hash = IncrementalHash.CreateHash HashAlgorithmName.SHA256

        for name, update in updates |> List.sortBy fst do
            hash.AppendData(Encoding.UTF8.GetBytes $"{name} {update.Scale:R}\n")

            for tensor in [ update.Down; update.Up ] do
                hash.AppendData(tensor.bytes)

            match magnitudes.TryGetValue name with
            | true, magnitude -> hash.AppendData(magnitude.bytes)
            | _ -> ()

        "sha256:" + Convert.ToHexStringLower(hash.GetHashAndReset())

    let private shapeText (shape: int64 list) = "[" + String.Join(", ", shape) + "]"

    let private requireFile (path: string) (what: string) =
        if not (File.Exists path) then
            raise (FileNotFoundException($"{path} is missing: expected {what}", path))

    /// <summary>Reads an adapter for a base model.</summary>
    /// <param name="config">The base model's shape.</param>
    /// <param name="folder">Where peft saved it.</param>
    /// <exception cref="T:System.IO.FileNotFoundException">A file is missing.</exception>
    /// <exception cref="T:System.IO.InvalidDataException">
    /// A file is damaged, the adapter is not plain LoRA, or does not fit the model; the message says what and why.
    /// </exception>
    let load (config: ModelConfig) (folder: string) : LoraAdapter =
        Native.load ()

        let configPath, path =
            Path.Combine(folder, ConfigName), Path.Combine(folder, WeightsName)

        requireFile configPath "a LoRA adapter of peft's, which has it"

        requireFile
            path
            "the adapter's weights beside adapter_config.json, as safetensors (save_pretrained writes them)"

        let root = JsonValue.read LargestConfig configPath
        requirePlain root
        let family = Families.ofConfig config
        let shapes = dict (family.Tensors config)
        let rank = root |> JsonValue.field "r" |> JsonValue.int 1 1_000_000
        let alpha = root |> JsonValue.field "lora_alpha" |> JsonValue.float
        let rankOf = root |> patterns "rank_pattern" (JsonValue.int 1 1_000_000)
        let alphaOf = root |> patterns "alpha_pattern" JsonValue.float

        let stabilised =
            root |> JsonValue.tryField "use_rslora" |> Option.exists JsonValue.bool

        let decomposed =
            root |> JsonValue.tryField "use_dora" |> Option.exists JsonValue.bool

        use file = SafetensorsFile.Open path
        let found = file.Tensors |> List.map (parsed path family)

        if found.IsEmpty then
            raise (InvalidDataException $"{path}: expected low-rank matrices, found no tensor")

        let updates = Dictionary<string, LowRankUpdate>(StringComparer.Ordinal)
        let magnitudes = Dictionary<string, Tensor>(StringComparer.Ordinal)

        try
            for name, parts in found |> List.groupBy _.Module do
                let refuse reason : 'T =
                    raise (InvalidDataException $"{path}: '{name}': {reason}")

                let outputs, inputs =
                    match shapes.TryGetValue $"{name}.weight" with
                    | true, [ rows; columns ] -> rows, columns
                    | true, shape -> refuse $"expected a matrix to update, found the shape {shapeText shape}"
                    | _ ->
                        refuse
                            $"the {config.Family} model has no such linear map: the adapter is of another model, or of a part that is tied or not supported"

                let part which =
                    match parts |> List.filter (fun part -> part.Which = which) with
                    | [ part ] -> part.Entry
                    | several -> refuse $"expected one lora_{which}, found {several.Length}"

                let down, up = part "A", part "B"
                let named = parts.Head.Named
                let rank = rankOf named |> Option.defaultValue rank
                let r = int64 rank

                // GPT-2's matrices stand as [in, out].
                match down.Shape, up.Shape with
                | [ a; ins ], [ outs; b ] when
                    a = r
                    && b = r
                    && ((outs, ins) = (outputs, inputs) || (ins, outs) = (outputs, inputs))
                    ->
                    ()
                | _ ->
                    refuse
                        $"expected lora_A [{r}, in] and lora_B [out, {r}] of the matrix {shapeText [ outputs; inputs ]} and the rank {r}, found {shapeText down.Shape} and {shapeText up.Shape}"

                let alpha = alphaOf named |> Option.defaultValue alpha
                let scale = alpha / (if stabilised then sqrt (float rank) else float rank)

                // The product is computed in fp32.
                if not (Single.IsFinite(float32 scale)) then
                    refuse $"expected a finite scale, found lora_alpha {alpha} for the rank {rank}"

                match parts |> List.filter (fun part -> part.Which = "magnitude"), decomposed with
                | [], false -> ()
                | [ one ], true when one.Entry.Shape = [ up.Shape[0] ] -> magnitudes.Add(name, fp32 file one.Entry)
                | [ one ], true ->
                    refuse
                        $"expected lora_magnitude_vector [{up.Shape[0]}], one number for each output, found {shapeText one.Entry.Shape}"
                | several, _ ->
                    let expected = if decomposed then "one" else "none"

                    refuse $"expected {expected} lora_magnitude_vector, as use_dora says, found {several.Length}"

                let down = fp32 file down

                let up =
                    try
                        fp32 file up
                    with _ ->
                        down.Dispose()
                        reraise ()

                updates.Add(
                    name,
                    { Down = down
                      Up = up
                      Scale = scale
                      Input = None }
                )

            new LoraAdapter(
                folder,
                updates,
                magnitudes,
                hashOf [ for KeyValue(name, update) in updates -> name, update ] magnitudes
            )
        with _ ->
            for magnitude in magnitudes.Values do
                magnitude.Dispose()

            for update in updates.Values do
                update.Down.Dispose()
                update.Up.Dispose()

            reraise ()

    /// <summary>
    /// W + scale · B A, fp32, of a matrix that stands as [out, in], or as [in, out]; with DoRA's magnitudes in place of its rows'
    /// norms where there are some.
    /// </summary>
    /// <param name="transposed">Whether it stands as [in, out].</param>
    /// <param name="update">What is added.</param>
    /// <param name="magnitudes">m [out], of DoRA.</param>
    /// <param name="weight">W, of any dtype, on the CPU.</param>
    let internal merged
        (transposed: bool)
        (update: LowRankUpdate)
        (magnitudes: Tensor option)
        (weight: Tensor)
        : Tensor =
        use _ = torch.NewDisposeScope()
        let change = torch.mm (update.Up, update.Down) *. float32 update.Scale

        let sum =
            weight.``to`` torch.float32 .+ (if transposed then change.t () else change)

        match magnitudes with
        | None -> sum.MoveToOuterDisposeScope()
        | Some magnitudes ->
            let inputs = if transposed then 0L else 1L

            let norm = (sum |> normAlong (int inputs)).clamp_min(held Single.Epsilon)

            let shown = if transposed then magnitudes else magnitudes.unsqueeze 1L
            (sum / norm * shown).MoveToOuterDisposeScope()

    /// <summary>
    /// The fingerprint of a base model with an adapter: that of another model, whether it is merged or not.
    /// </summary>
    let internal fingerprint (lora: LoraAdapter) (baseModel: string) : string =
        let both = Encoding.UTF8.GetBytes $"{baseModel}\n{lora.Fingerprint}"
        "sha256:" + Convert.ToHexStringLower(SHA256.HashData both)
