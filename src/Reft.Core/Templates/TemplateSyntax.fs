namespace Reft.Core

/// An expression of a template, with the line it stands on.
type internal TemplateExpression =
    { Line: int
      Form: TemplateExpressionForm }

and [<RequireQualifiedAccess>] internal TemplateExpressionForm =
    | Constant of TemplateValue
    | Name of string
    | List of TemplateExpression list
    | Tuple of TemplateExpression list
    | Dict of (TemplateExpression * TemplateExpression) list
    /// <c>a.name</c>: an attribute first, then a key.
    | Attribute of TemplateExpression * string
    /// <c>a[key]</c>: a key first, then an attribute.
    | Item of TemplateExpression * TemplateExpression
    | Slice of TemplateExpression option * TemplateExpression option * TemplateExpression option
    | Call of TemplateExpression * TemplateArguments
    /// A filter; without an input it is that of a block.
    | Filter of input: TemplateExpression option * name: string * TemplateArguments
    | Test of TemplateExpression * name: string * TemplateArguments
    | Negative of TemplateExpression
    | Positive of TemplateExpression
    | Not of TemplateExpression
    | And of TemplateExpression * TemplateExpression
    | Or of TemplateExpression * TemplateExpression
    | Arithmetic of TemplateExpression * operator: string * TemplateExpression
    | Concatenation of TemplateExpression list
    | Comparison of TemplateExpression * (string * TemplateExpression) list
    | Conditional of test: TemplateExpression * yes: TemplateExpression * no: TemplateExpression option

and internal TemplateArguments =
    { Arguments: TemplateExpression list
      Keywords: (string * TemplateExpression) list
      Rest: TemplateExpression option
      RestKeywords: TemplateExpression option }

    static member None =
        { Arguments = []
          Keywords = []
          Rest = None
          RestKeywords = None }

/// What a value is assigned to.
[<RequireQualifiedAccess>]
type internal TemplateTarget =
    | Name of string
    | NamespaceAttribute of name: string * attribute: string
    | Tuple of TemplateTarget list

/// The parameters and the body of a macro or of a call block.
type internal TemplateMacro =
    {
        Name: string
        Parameters: (string * TemplateExpression option) list
        Body: TemplateStatement list
        /// Whether the body mentions these names, which then take what no parameter does.
        UsesVarargs: bool
        UsesKwargs: bool
        UsesCaller: bool
    }

/// A statement of a template, with the line it stands on.
and internal TemplateStatement =
    { Line: int
      Form: TemplateStatementForm }

and [<RequireQualifiedAccess>] internal TemplateStatementForm =
    | Data of string
    | Print of TemplateExpression
    | If of (TemplateExpression * TemplateStatement list) list * otherwise: TemplateStatement list
    | For of TemplateLoop
    | Break
    | Continue
    | Set of TemplateTarget * TemplateExpression
    | SetBlock of TemplateTarget * filter: TemplateExpression option * TemplateStatement list
    | With of (TemplateTarget * TemplateExpression) list * TemplateStatement list
    | Macro of TemplateMacro
    | CallBlock of call: TemplateExpression * caller: TemplateMacro
    | FilterBlock of filter: TemplateExpression * TemplateStatement list
    /// A block with a scope of its own and nothing more.
    | Scope of TemplateStatement list

and internal TemplateLoop =
    { Target: TemplateTarget
      Items: TemplateExpression
      Condition: TemplateExpression option
      Recursive: bool
      Body: TemplateStatement list
      Otherwise: TemplateStatement list }
