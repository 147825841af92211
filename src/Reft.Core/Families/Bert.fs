namespace Reft.Core

open System

/// <summary>BERT: positions from 0, two segments.</summary>
[<RequireQualifiedAccess>]
module Bert =

    let private standard =
        { ModelConfig.llama with
            Family = "bert"
            Context = 512
            NormEpsilon = 1e-12
            SegmentTypes = 2
            TiedHead = true
            AttentionBias = true
            MlpBias = true
            Activation = "gelu"
            BosId = None
            EosIds = []
            PadId = Some 0 }

    /// <summary>The family.</summary>
    let family: Family =
        Encoder.family
            "BertForMaskedLM"
            standard
            { Prefix = "bert"
              HeadDense = "cls.predictions.transform.dense"
              HeadNorm = "cls.predictions.transform.LayerNorm"
              HeadBias = "cls.predictions.bias"
              HeadMap = "cls.predictions.decoder"
              HeadActivation = fun config -> config.Activation
              FirstPosition = fun _ -> 0
              // The head that says whether one sentence follows the other.
              Ignorable = fun name -> name.StartsWith("cls.seq_relationship.", StringComparison.Ordinal)
              SequenceHead = SequenceHead.bert }
