namespace Reft.Core

open System
open System.Collections.Generic
open System.Globalization
open System.Security.Cryptography
open System.Text

/// <summary>
/// Tells one base model from another: SHA-256 over the shape, the tensor table and samples of every tensor's bytes. The
/// same weights give the same fingerprint however they are sharded, and whatever else the folder holds; a model that was
/// trained further gives another one.
/// </summary>
[<RequireQualifiedAccess>]
module Fingerprint =

    // Of each tensor at most 16 × 256 bytes are read: a billion-parameter model takes well under a second.
    [<Literal>]
    let private Window = 256

    [<Literal>]
    let private Windows = 16

    /// Only what changes the computed numbers: token ids and the context length do not.
    let private canonical (config: ModelConfig) =
        let number (value: float) =
            value.ToString("R", CultureInfo.InvariantCulture)

        let rope =
            match config.RopeScaling with
            | RopeScaling.Default -> "default"
            | RopeScaling.Linear factor -> $"linear {number factor}"
            | RopeScaling.Llama3(factor, low, high, original) ->
                $"llama3 {number factor} {number low} {number high} {original}"
            | RopeScaling.Dynamic(factor, original) -> $"dynamic {number factor} {original}"
            | RopeScaling.Yarn(factor, original, attention, fast, slow) ->
                $"yarn {number factor} {original} {number attention} {number fast} {number slow}"
            | RopeScaling.LongRope(short, long, original, attention) ->
                let list = List.map number >> String.concat ","
                $"longrope {list short} {list long} {original} {number attention}"

        let optional value =
            value |> Option.map number |> Option.defaultValue "none"

        // Said only where it differs from Llama's, so that fingerprints of older adapters stay what they are.
        let unlikeLlama =
            [ if config.LocalRopeTheta.IsSome then
                  $"local rope {optional config.LocalRopeTheta}"
              if config.RotaryShare <> 1.0 then
                  $"rotary share {number config.RotaryShare}"
              if not config.Patterns.IsEmpty then
                  config.Patterns |> List.map string |> String.concat ";"
              if config.AttentionScale.IsSome then
                  $"attention scale {optional config.AttentionScale}"
              if config.AttentionSoftcap.IsSome || config.LogitSoftcap.IsSome then
                  $"caps {optional config.AttentionSoftcap} {optional config.LogitSoftcap}"
              if config.ParallelResidual then
                  "parallel residual"
              // RoBERTa's positions begin behind the row of its padding, which is 1 but for odd ones.
              match config.Family, config.PadId with
              | "roberta", Some pad when pad <> 1 -> $"padding {pad}"
              | _ -> () ]

        [ config.Family
          string config.Hidden
          string config.Layers
          $"{config.Heads.Heads} {config.Heads.KvHeads} {config.Heads.HeadDim}"
          string config.Intermediate
          string config.Vocabulary
          number config.NormEpsilon
          number config.RopeTheta
          rope
          $"{config.TiedHead} {config.AttentionBias} {config.MlpBias}"
          config.Activation
          yield! unlikeLlama ]
        |> String.concat "\n"

    /// Where the samples of a tensor begin: evenly spread, the first and the last window among them.
    let private samples (bytes: int64) =
        if bytes <= int64 (Window * Windows) then
            [ struct (0L, int bytes) ]
        else
            [ for i in 0L .. int64 Windows - 1L ->
                  let last = bytes - int64 Window

                  struct (last / int64 (Windows - 1) * i
                          + last % int64 (Windows - 1) * i / int64 (Windows - 1),
                          Window) ]

    /// <summary>The fingerprint of open weights.</summary>
    let ofWeights (config: ModelConfig) (weights: WeightFiles) : string =
        let family = Families.ofConfig config
        use hash = IncrementalHash.CreateHash HashAlgorithmName.SHA256

        let add (text: string) =
            hash.AppendData(Encoding.UTF8.GetBytes(text + "\n"))

        let buffer = Array.zeroCreate<byte>(Window * Windows)
        add "reft base model 1"
        add (canonical config)

        let tensors =
            weights.Tensors
            |> List.map (fun (name, file, entry) -> family.Rename name, file, entry)
            |> List.filter (fun (name, _, _) -> not (family.Ignorable config name))
            |> List.sortWith (fun (a, _, _) (b, _, _) -> String.CompareOrdinal(a, b))

        for name, file, entry in tensors do
            let shape = String.Join(",", entry.Shape)
            add $"{name} {entry.Dtype} [{shape}]"

            for struct (offset, count) in samples entry.Bytes do
                file.ReadBytes(entry, offset, buffer.AsSpan(0, count))
                hash.AppendData(buffer, 0, count)

        "sha256:" + Convert.ToHexStringLower(hash.GetHashAndReset())

    /// <summary>The fingerprint of a model folder.</summary>
    /// <exception cref="T:System.IO.FileNotFoundException">It holds no model.</exception>
    /// <exception cref="T:System.IO.InvalidDataException">A file of it is not valid; the message says which and why.</exception>
    let ofFolder (folder: string) : string =
        let config = ConfigFile.ofFolder folder
        use weights = WeightFiles.Open folder
        ofWeights config weights
