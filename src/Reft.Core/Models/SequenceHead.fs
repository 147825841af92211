namespace Reft.Core

/// <summary>The token of a row whose hidden state the head reads.</summary>
[<RequireQualifiedAccess>]
type HeadToken =
    /// The first one: an encoder's [CLS] or <c>&lt;s&gt;</c>.
    | First
    /// The last one, padding apart: the only token of a decoder that has seen the whole row.
    | Last

/// <summary>A linear map of a classification head.</summary>
type HeadMap =
    {
        /// Its name in the checkpoint, without <c>.weight</c>.
        Name: string
        /// Whether it has a bias.
        Biased: bool
        /// Whether it is a layer of the base model, as BERT's pooler is.
        OfBase: bool
    }

/// <summary>
/// What stands on a model for sequence classification: W h + b, or W tanh(V h + a) + b, of the hidden state h of one token.
/// </summary>
type SequenceHead =
    {
        /// The token that it reads.
        Token: HeadToken
        /// V and a, [hidden, hidden]; <c>None</c> where there is one map alone.
        Dense: HeadMap option
        /// W and b, [labels, hidden].
        Output: HeadMap
    }

    /// <summary>Its maps, in the order in which they are applied.</summary>
    member head.Maps: HeadMap list = [ yield! Option.toList head.Dense; head.Output ]

/// <summary>Classification heads, as the families have them.</summary>
[<RequireQualifiedAccess>]
module SequenceHead =

    let private map name : HeadMap =
        { Name = name
          Biased = true
          OfBase = false }

    /// <summary>A decoder's: <c>score</c>, without a bias, on the last token.</summary>
    let score: SequenceHead =
        { Token = HeadToken.Last
          Dense = None
          Output = { map "score" with Biased = false } }

    /// <summary>RoBERTa's: two maps on the first token.</summary>
    let roberta: SequenceHead =
        { Token = HeadToken.First
          Dense = Some(map "classifier.dense")
          Output = map "classifier.out_proj" }

    /// <summary>BERT's: the pooler, a layer of the base model, and one map, on the first token.</summary>
    let bert: SequenceHead =
        { Token = HeadToken.First
          Dense =
            Some
                { map "bert.pooler.dense" with
                    OfBase = true }
          Output = map "classifier" }

    /// <summary>The tensors of a map with their shapes.</summary>
    let shapes (hidden: int) (labels: int) (head: SequenceHead) (map: HeadMap) : (string * int64 list) list =
        let outputs = int64 (if map = head.Output then labels else hidden)

        [ $"{map.Name}.weight", [ outputs; int64 hidden ]
          if map.Biased then
              $"{map.Name}.bias", [ outputs ] ]

    /// <summary>The tensors that a checkpoint has for it; none where its head is another one.</summary>
    let tensors (head: SequenceHead) (config: ModelConfig) : (string * int64 list) list =
        match config.Head with
        | CheckpointHead.Sequence task -> head.Maps |> List.collect (shapes config.Hidden task.Labels.Length head)
        | CheckpointHead.Bare
        | CheckpointHead.Language -> []

    /// <summary>The tensors of the base model that only it reads, and that a checkpoint with another head may have.</summary>
    let ofBase (head: SequenceHead) (config: ModelConfig) : (string * int64 list) list =
        match config.Head with
        | CheckpointHead.Sequence _ -> []
        | CheckpointHead.Bare
        | CheckpointHead.Language ->
            head.Maps
            |> List.filter (fun map -> map.OfBase)
            |> List.collect (shapes config.Hidden 1 head)
