namespace Reft.Core

open System

/// <summary>RoBERTa: positions from behind the padding token's row on, one segment.</summary>
[<RequireQualifiedAccess>]
module Roberta =

    let private standard =
        { ModelConfig.llama with
            Family = "roberta"
            Context = 510
            NormEpsilon = 1e-12
            SegmentTypes = 2
            TiedHead = true
            AttentionBias = true
            MlpBias = true
            Activation = "gelu"
            BosId = Some 0
            EosIds = [ 2 ]
            PadId = Some 1 }

    /// <summary>The family.</summary>
    let family: Family =
        Encoder.family
            "RobertaForMaskedLM"
            standard
            { Prefix = "roberta"
              HeadDense = "lm_head.dense"
              HeadNorm = "lm_head.layer_norm"
              HeadBias = "lm_head.bias"
              HeadMap = "lm_head.decoder"
              HeadActivation = fun _ -> "gelu"
              FirstPosition = fun config -> (config.PadId |> Option.defaultValue 1) + 1
              // Its classification head does not read the pooler that old files have.
              Ignorable = fun name -> name.StartsWith("roberta.pooler.", StringComparison.Ordinal)
              SequenceHead = SequenceHead.roberta }
