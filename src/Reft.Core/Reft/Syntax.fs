namespace Reft.Core

/// <summary>
/// The words of a spec: <c>loreft 4 |> at (blockOutput [4; 6; 10]) (first 7 + last 7)</c>. Open it explicitly; it is
/// never opened for you.
/// </summary>
module Syntax =

    let private sites place layers =
        layers |> List.map (fun layer -> Site.create layer place)

    /// <summary>The inputs of blocks.</summary>
    let blockInput (layers: int list) : Site list = sites Component.BlockInput layers

    /// <summary>The outputs of blocks, where the paper places its edits.</summary>
    let blockOutput (layers: int list) : Site list = sites Component.BlockOutput layers

    /// <summary>The normed inputs of attention layers.</summary>
    let attentionInput (layers: int list) : Site list = sites Component.AttentionInput layers

    /// <summary>The outputs of attention layers, before the residual sum.</summary>
    let attentionOutput (layers: int list) : Site list = sites Component.AttentionOutput layers

    /// <summary>The attention-weighted values of all heads, before the output projection.</summary>
    let attentionValue (layers: int list) : Site list = sites Component.AttentionValue layers

    /// <summary>The queries.</summary>
    let query (layers: int list) : Site list = sites Component.Query layers

    /// <summary>The keys.</summary>
    let key (layers: int list) : Site list = sites Component.Key layers

    /// <summary>The values.</summary>
    let value (layers: int list) : Site list = sites Component.Value layers

    /// <summary>The normed inputs of MLPs.</summary>
    let mlpInput (layers: int list) : Site list = sites Component.MlpInput layers

    /// <summary>The gates of gated MLPs after their activation function: pyvene's <c>mlp_activation</c>.</summary>
    let mlpGate (layers: int list) : Site list = sites Component.MlpGate layers

    /// <summary>The inner activations of MLPs, before the down projection.</summary>
    let mlpActivation (layers: int list) : Site list = sites Component.MlpActivation layers

    /// <summary>The outputs of MLPs, before the residual sum.</summary>
    let mlpOutput (layers: int list) : Site list = sites Component.MlpOutput layers

    /// <summary>Only some heads of sites that have heads.</summary>
    let heads (first: int) (count: int) (sites: Site list) : Site list =
        sites |> List.map (Site.heads first count)

    /// <summary>The first n tokens of the prompt.</summary>
    let first (count: int) : Positions = Positions.First count

    /// <summary>The last n tokens of the prompt.</summary>
    let last (count: int) : Positions = Positions.Last count

    /// <summary>Tokens start … start + count − 1.</summary>
    let span (start: int) (count: int) : Positions = Positions.Span(start, count)

    /// <summary>Every step-th token.</summary>
    let every (step: int) : Positions = Positions.Every step

    /// <summary>Every token.</summary>
    let all: Positions = Positions.All

    /// <summary>LoReFT of a rank: see <see cref="T:Reft.Core.LoreftModule"/>.</summary>
    let loreft (rank: int) : Intervention = Loreft.create (Loreft.options rank)

    /// <summary>NoReFT of a rank: see <see cref="T:Reft.Core.NoreftModule"/>.</summary>
    let noreft (rank: int) : Intervention = Noreft.create (Noreft.options rank)

    /// <summary>ConsReFT of a rank: see <see cref="T:Reft.Core.ConsreftModule"/>.</summary>
    let consreft (rank: int) : Intervention = Consreft.create (Consreft.options rank)

    /// <summary>LobiReFT of a rank: see <see cref="T:Reft.Core.LobireftModule"/>.</summary>
    let lobireft (rank: int) : Intervention = Lobireft.create (Lobireft.options rank)

    /// <summary>The paper's DiReFT of a rank (pyreft's NodireftIntervention): see <see cref="T:Reft.Core.DireftPaperModule"/>.</summary>
    let direftPaper (rank: int) : Intervention =
        DireftPaper.create (DireftPaper.options rank)

    /// <summary>pyreft's DireftIntervention of a rank, with orthonormal R: see <see cref="T:Reft.Core.DireftOrthonormalModule"/>.</summary>
    let direftOrthonormal (rank: int) : Intervention =
        DireftOrthonormal.create (DireftOrthonormal.options rank)

    /// <summary>In training, numbers of the change are dropped. The same as <c>Intervention.dropout</c>.</summary>
    let dropout (rate: float) (edit: Intervention) : Intervention = Intervention.dropout rate edit

    /// <summary>In training, numbers of the output h′ are dropped, as pyreft does. The same as <c>Intervention.dropoutOutput</c>.</summary>
    let dropoutOutput (rate: float) (edit: Intervention) : Intervention = Intervention.dropoutOutput rate edit

    /// <summary>Only some latent rows act. The same as <c>Intervention.onSubspace</c>.</summary>
    let onSubspace (rows: int list) (edit: Intervention) : Intervention = Intervention.onSubspace rows edit

    /// <summary>An edit times a learnt factor. The same as <c>Intervention.gate</c>.</summary>
    let gate (factor: Intervention) (edit: Intervention) : Intervention = Intervention.gate factor edit

    /// <summary><c>a >=> b</c>: b sees h with the change of a. The same as <c>Intervention.andThen b a</c>.</summary>
    let (>=>) (a: Intervention) (b: Intervention) : Intervention = Intervention.andThen b a

    /// <summary>Puts an intervention at sites and positions: the prompt, prefix and suffix groups with parameters of their own.</summary>
    let at (sites: Site list) (positions: Positions) (what: Intervention) : ReftSpec =
        ReftSpec.place sites positions what

    /// <summary>All positions of a placement share one set of parameters.</summary>
    let tied (spec: ReftSpec) : ReftSpec = ReftSpec.tied spec

    /// <summary>The rows of the source run of a name: see <see cref="T:Reft.Core.InterchangeModule"/>.</summary>
    let interchange (source: string) : Intervention = Interchange.create source

    /// <summary>h ↦ 0: see <see cref="T:Reft.Core.ZeroOutModule"/>.</summary>
    let zeroOut: Intervention = ZeroOut.create ()

    /// <summary>An interchange in a learnt subspace of a rank: see <see cref="T:Reft.Core.RotatedInterchangeModule"/>.</summary>
    let das (rank: int) : Intervention =
        RotatedInterchange.create (RotatedInterchange.options rank)
