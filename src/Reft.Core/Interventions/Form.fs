namespace Reft.Core

/// <summary>The value of a method's option, as data.</summary>
[<RequireQualifiedAccess>]
type FormOption =
    /// A whole number, e.g. a rank.
    | Int of int
    /// A real number, e.g. a dropout rate.
    | Float of float
    /// A word, e.g. the name of an activation function.
    | Text of string
    /// A switch.
    | Flag of bool

/// <summary>
/// What an intervention <i>is</i>, as data: saved, printed, compared. Closures cannot be saved, so every combinator
/// extends the form beside its functions.
/// </summary>
[<RequireQualifiedAccess>]
type Form =
    /// Δ = 0.
    | Zero
    /// A method of the library, by name and options.
    | Method of name: string * options: (string * FormOption) list
    /// The sum of edits that all read the same h.
    | Sum of Form list
    /// Edits one after another: each sees h with the earlier edits added.
    | Then of Form list
    /// An edit times a number.
    | Scale of factor: float * edit: Form
    /// An edit times a learnt function of h.
    | Gate of gate: Form * edit: Form
    /// In training, some numbers of an edit are dropped at random, or some of its output h′.
    | Dropout of rate: float * ofOutput: bool * edit: Form
    /// Only these latent rows of an edit act.
    | Subspace of rows: int list * edit: Form
    /// A user's own intervention, by the name under which it is registered.
    | Custom of name: string

    /// <summary>One line, e.g. <c>0.5 * loreft(rank=4)</c>.</summary>
    override form.ToString() =
        let rec show form =
            match form with
            | Zero -> "zero"
            | Method(name, []) -> name
            | Method(name, options) ->
                let shown =
                    options
                    |> List.map (fun (key, value) ->
                        match value with
                        | FormOption.Int n -> $"{key}={n}"
                        | FormOption.Float x -> $"{key}={x}"
                        | FormOption.Text text -> $"{key}={text}"
                        | FormOption.Flag flag -> if flag then $"{key}=true" else $"{key}=false")
                    |> String.concat ", "

                $"{name}({shown})"
            | Sum parts -> parts |> List.map show |> String.concat " + " |> sprintf "(%s)"
            | Then parts -> parts |> List.map show |> String.concat " >=> " |> sprintf "(%s)"
            | Scale(factor, edit) -> $"{factor} * {show edit}"
            | Gate(gate, edit) -> $"gate {show gate} ({show edit})"
            | Dropout(rate, ofOutput, edit) ->
                let what = if ofOutput then ", output" else ""
                $"dropout({rate}{what}) ({show edit})"
            | Subspace(rows, edit) ->
                let rows = rows |> List.map string |> String.concat ";"
                $"onSubspace [{rows}] ({show edit})"
            | Custom name -> $"custom \"{name}\""

        show form
