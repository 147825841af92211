namespace Reft.Core

open System
open System.IO
open TorchSharp

/// <summary>What pyreft does not save with an adapter, and so whoever loads one has to say.</summary>
[<NoEquality; NoComparison>]
type PyreftOptions =
    {
        /// The tokens that were edited in training: <c>f7+l7</c>, say.
        Positions: Positions
        /// What becomes of positions that a short prompt has not.
        ShortPrompt: ShortPrompt
        /// The activation (pyreft's act_fn) of the methods that have one.
        Activation: Activation
        /// The rate of pyreft's dropout, for training further; nothing is dropped at inference.
        Dropout: float
    }

/// <summary>
/// Adapters of pyreft: a folder with <c>config.json</c> and a file <c>intkey_*.bin</c> for each intervention. The pickles
/// in those files are read as tensors only, see <see cref="T:Reft.Core.TorchFileModule"/>.
/// </summary>
[<RequireQualifiedAccess>]
module PyreftAdapter =

    /// <summary>A linear activation, no dropout and pyreft's rule for short prompts.</summary>
    /// <param name="positions">The tokens that were edited in training.</param>
    let options (positions: Positions) : PyreftOptions =
        { Positions = positions
          ShortPrompt = ShortPrompt.Pyreft
          Activation = Activation.linear
          Dropout = 0.0 }

    let private refuse (folder: string) (message: string) : 'T =
        raise (InvalidDataException $"{Path.Combine(folder, PyreftConfig.FileName)}: {message}")

    /// <summary>Whether a folder looks like an adapter of pyreft's: a <c>config.json</c> and an <c>intkey_*.bin</c>.</summary>
    let exists (folder: string) : bool =
        File.Exists(Path.Combine(folder, PyreftConfig.FileName))
        && Directory.EnumerateFiles(folder, "intkey_*.bin") |> Seq.isEmpty |> not

    let private fileOf (folder: string) (entry: PyreftEntry) =
        let candidates =
            entry.Keys
            |> List.map (fun key ->
                let name = $"intkey_{key}.bin"

                // The key comes from the file.
                if Path.GetFileName name <> name then
                    refuse folder $"'{key}' cannot be the name of a file"

                Path.Combine(folder, name))

        match candidates |> List.tryFind File.Exists with
        | Some path -> path
        | None ->
            let names =
                entry.Keys |> List.map (fun key -> $"intkey_{key}.bin") |> String.concat " or "

            raise (
                FileNotFoundException(
                    $"{folder}: the parameters of an intervention at {entry.Site} are missing: expected {names}",
                    candidates.Head
                )
            )

    /// pyreft saves trained weights of the base model beside the interventions, an empty file if there are none.
    let private requireFrozenBase (folder: string) =
        let path = Path.Combine(folder, "pytorch_model.bin")

        if File.Exists path then
            match TorchFile.names path with
            | [] -> ()
            | first :: _ as names ->
                raise (
                    InvalidDataException
                        $"{path}: weights of the base model were trained along ({names.Length} tensors, '{first}' the first): the interventions are not right without them. Save a model that has them, and an adapter trained on it"
                )

    /// The sites in order, each with its interventions, one or two everywhere.
    let private bySite (folder: string) (entries: PyreftEntry list) =
        let sites = entries |> List.groupBy (fun entry -> entry.Site)

        match sites |> List.map (fun (_, found) -> found.Length) |> List.distinct with
        | [ 1 ]
        | [ 2 ] -> ()
        | _ ->
            let counts =
                sites
                |> List.truncate 8
                |> List.map (fun (site, found) -> $"{found.Length} at {site}")
                |> String.concat ", "

            refuse folder $"expected one intervention at each site, or two at each (prefix and suffix), found {counts}"

        sites

    let private groupsOf (folder: string) (positions: Positions) (count: int) =
        match Positions.groups Tying.Groups positions with
        | _ when count = 1 -> [ "" ]
        | [ "suffix"; "prefix" ]
        | [ "prefix"; "suffix" ] -> [ "prefix"; "suffix" ]
        | _ ->
            refuse
                folder
                $"it has two interventions at each site, of the first and of the last tokens: expected positions such as f1+l1, found '{positions}'"

    let private withDropout rate what =
        if rate = 0.0 then
            what
        else
            Intervention.dropoutOutput rate what

    /// <summary>Reads an adapter of pyreft for a base model.</summary>
    /// <remarks>
    /// pyreft does not save which tokens are edited, nor activation and dropout: <paramref name="options"/> say them, and
    /// must be those of the training. R is taken up as an orthonormal matrix under the default map, so that it stays one in
    /// further training; the edit is the same.
    /// </remarks>
    /// <param name="options">What pyreft does not save.</param>
    /// <param name="fingerprint">The fingerprint of the base model that it was trained on, which the result will name.</param>
    /// <param name="config">The base model's shape.</param>
    /// <param name="folder">Where pyreft saved it.</param>
    /// <exception cref="T:System.IO.FileNotFoundException">A file is missing.</exception>
    /// <exception cref="T:System.IO.InvalidDataException">
    /// A file is damaged, holds more than tensors, or does not fit the model; the message says which and why.
    /// </exception>
    /// <exception cref="T:System.ArgumentException">The options mean nothing: a dropout rate above 1, say.</exception>
    let load (options: PyreftOptions) (fingerprint: string) (config: ModelConfig) (folder: string) : Adapter =
        Native.load ()
        use _ = torch.NewDisposeScope()
        let positions = Positions.validate options.Positions
        let sites = PyreftConfig.read folder |> bySite folder
        let groups = groupsOf folder positions (snd sites.Head).Length
        requireFrozenBase folder

        let tie =
            if groups.Length = 1 && (Positions.groups Tying.Groups positions).Length > 1 then
                Tying.Tied
            else
                Tying.Groups

        let moduleOf (site: Site) (width: int) (entry: PyreftEntry) =
            let path = fileOf folder entry

            match entry.Width with
            | Some found when found <> width ->
                refuse folder $"the adapter is of another model: expected the width {width} at {site}, found {found}"
            | _ -> ()

            let what, theta =
                TorchFile.readAll path
                |> PyreftClass.import path entry.Class options.Activation.Name width

            match entry.Rank, what.Form with
            | Some rank, Form.Method(_, ("rank", FormOption.Int found) :: _) when found <> rank ->
                raise (
                    InvalidDataException $"{path}: expected the rank {rank} of {PyreftConfig.FileName}, found {found}"
                )
            | _ -> ()

            what, theta

        let widthOf site =
            try
                config.Width site
            with :? ArgumentException as e ->
                refuse folder $"the adapter does not fit the model: {e.Message}"

        let placed =
            [ for site, entries in sites do
                  let width = widthOf site

                  let modules =
                      entries
                      |> List.sortBy (fun entry -> entry.Index)
                      |> List.map (moduleOf site width)

                  match modules |> List.map (fun (what, _) -> what.Form) |> List.distinct with
                  | [ _ ] -> ()
                  | forms ->
                      let found = forms |> List.map string |> String.concat " and "
                      refuse folder $"expected the same method for the prefix and the suffix at {site}, found {found}"

                  let what = fst modules.Head

                  { Site = site
                    Where = positions
                    When = Phase.Prompt
                    What = withDropout options.Dropout what
                    Tie = tie
                    Share = None
                    ShortPrompt = options.ShortPrompt },
                  what,
                  modules |> List.map snd ]

        let spec = placed |> List.map (fun (placement, _, _) -> placement)

        try
            ReftSpec.validate config spec
        with :? ArgumentException as e ->
            refuse folder $"the adapter does not fit the model: {e.Message}"

        // As the method itself lays them out, so that training and saving see what they would make.
        let parameters =
            [ for placement, what, modules in placed do
                  let layout = what.Init (config.Width placement.Site) (Rng.ofSeed 0L)

                  for group, values in List.zip groups modules do
                      let owner =
                          if group = "" then
                              string placement.Site
                          else
                              $"{placement.Site}.{group}"

                      layout.Entries
                      |> Seq.map (fun p -> { p with Value = values[p.Name] })
                      |> Parameters
                      |> Parameters.prefixed owner ]
            |> Parameters.concat

        Layout.check config spec (Layout.shapes parameters)
        new Adapter(spec, Parameters.keep parameters, None, None, config.Family, fingerprint, Adapter.libraryVersion)

    /// What pyreft cannot say of a placement, with the reason.
    let private unsayable (placement: Placement) : string option =
        let rec method form =
            match form with
            | Form.Dropout(_, _, edit) -> method edit
            | Form.Method(name, options) when (PyreftClass.ofMethod name).IsSome ->
                options
                |> List.tryPick (function
                    | "activation", FormOption.Text activation ->
                        Some
                            $"its files do not hold the activation, and without it {activation} would silently become linear"
                    | _ -> None)
            | other ->
                Some
                    $"it has no class for {other}: only for loreft, noreft, consreft, lobireft, direft_orthonormal and direft_paper, neither combined nor scaled nor gated"

        let positions =
            match placement.Where with
            | Positions.First _
            | Positions.Last _
            | Positions.Pyreft _
            | Positions.Union [ Positions.First _; Positions.Last _ ]
            | Positions.Union [ Positions.Last _; Positions.First _ ] -> None
            | other -> Some $"it edits the first and the last tokens of a prompt, and not '{other}'"

        [ method placement.What.Form
          positions
          (if placement.When = Phase.Prompt then
               None
           else
               Some $"it edits the prompt, and not the phase {placement.When}")
          (if placement.Tie = Tying.EachPosition then
               Some
                   "it has parameters for all positions, or for the prefix and for the suffix, and not for each position"
           else
               None)
          placement.Share
          |> Option.map (fun name -> $"its sites do not share parameters, as those of '{name}' do")
          (if placement.Site.Heads.IsSome then
               Some "it edits a component as a whole, and not some of its heads"
           else
               None)
          (if (SiteNames.pyveneName placement.Site.Component).IsNone then
               Some $"pyvene has no name for the component {Component.name placement.Site.Component}"
           else
               None) ]
        |> List.tryPick id

    let private requireSayable (spec: ReftSpec) =
        let refuse message =
            invalidArg (nameof spec) $"pyreft cannot hold this adapter: {message}"

        if spec.IsEmpty then
            refuse "it has no placement"

        for i, placement in List.indexed spec do
            match unsayable placement with
            | Some reason -> refuse $"placement {i + 1}, at {placement.Site}: {reason}"
            | None -> ()

        match
            spec
            |> List.countBy (fun p -> p.Site)
            |> List.tryFind (fun (_, times) -> times > 1)
        with
        | Some(site, times) -> refuse $"it has one placement at a site, and not {times} at {site}"
        | None -> ()

        match spec |> List.distinctBy (fun p -> p.Where, Positions.groups p.Tie p.Where) with
        | a :: b :: _ ->
            refuse
                $"it edits the same positions at every site, tied everywhere or nowhere; found '{a.Where}' at {a.Site} and '{b.Where}' at {b.Site}"
        | _ -> ()

    let rec private methodOf form =
        match form with
        | Form.Dropout(_, _, edit) -> methodOf edit
        | Form.Method(name, options) -> PyreftClass.ofMethod name |> Option.get, options
        | other -> invalidOp $"{other} was found to be a method of pyreft's"

    /// <summary>
    /// Writes an adapter as a folder that pyreft's <c>ReftModel.load</c> takes. What pyreft does not save, positions and
    /// dropout, is left out: whoever loads the folder must know it. pyreft loads W and b in bf16 unless told otherwise, and
    /// its classes NoreftIntervention and NodireftIntervention only where add_bias is given to them.
    /// </summary>
    /// <param name="folder">Made if need be.</param>
    /// <param name="config">The base model's shape.</param>
    /// <param name="spec">What is attached where.</param>
    /// <param name="parameters">Its parameters.</param>
    /// <exception cref="T:System.ArgumentException">
    /// pyreft cannot hold such an adapter: the message names the placement and the reason; or a parameter is not finite, or
    /// has another shape.
    /// </exception>
    /// <exception cref="T:System.IO.IOException">Writing failed, e.g. because the disk is full: the old files are intact.</exception>
    let save (folder: string) (config: ModelConfig) (spec: ReftSpec) (parameters: Parameters) : unit =
        Native.load ()
        use _ = torch.NewDisposeScope()
        requireSayable spec
        Layout.check config spec (Layout.shapes parameters)
        Layout.checkFinite parameters

        let modules =
            [ for placement, owners in List.zip spec (ReftSpec.parameterNames spec) do
                  let cls, options = methodOf placement.What.Form
                  let width = config.Width placement.Site
                  let place = (SiteNames.pyveneName placement.Site.Component).Value
                  let rank = options |> FormOptions.required place "rank"
                  let map = options |> LowRank.orthonormal place

                  // pyreft's prefix comes first, in whatever order ours are named.
                  for index, owner in owners |> List.sort |> List.indexed do
                      let key = $"layer_{placement.Site.Layer}_comp_{place}_unit_pos_nunit_1#{index}"

                      index,
                      (placement.Site.Layer, place, key, cls, rank, width),
                      ($"intkey_{key}", PyreftClass.export cls map width (parameters.Sub owner)) ]
            // All prefixes, then all suffixes: so pyreft's list of positions goes with its list of interventions.
            |> List.sortBy (fun (index, _, _) -> index)

        AtomicFile.writeAll
            folder
            [ for _, _, (name, tensors) in modules do
                  $"{name}.bin", TorchFile.writer name tensors
              PyreftConfig.FileName, PyreftConfig.write config (modules |> List.map (fun (_, entry, _) -> entry)) ]
