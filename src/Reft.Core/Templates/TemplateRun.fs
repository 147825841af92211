namespace Reft.Core

open System
open System.Runtime.CompilerServices

/// What is wrong with a template, or with what it was given, and on which of its lines.
exception internal TemplateFault of line: int * message: string

/// The bounds within which a template that nobody has vetted runs.
[<RequireQualifiedAccess>]
module internal TemplateLimit =

    /// The longest template, in UTF-16 units: the longest in use have some 30,000.
    let source = 1_048_576

    /// The longest single string, in UTF-16 units, and the longest rendered text.
    let text = 16_777_216

    /// Units of work: an evaluated node, an item that is made or compared, or 16 characters that are made each count 1.
    let work = 20_000_000L

    /// How deep statements, expressions and macro calls nest while a template is read or rendered.
    let nesting = 900

    /// How deep lists and dicts nest.
    let valueDepth = 200

    /// Bits of an integer: more than any that Python's own conversion to text allows.
    let integerBits = 14_000L

    /// Items of a range, as in Jinja's sandbox.
    let range = 100_000

/// One rendering: the line it is at, the work it has done, and the clock it reads. Whatever makes or compares values
/// charges for it first, so that neither time nor memory depends on good will.
[<Sealed>]
type internal TemplateRun(now: DateTime) =
    let mutable spent = 0L
    let mutable depth = 0

    /// The line of the construct that is being evaluated.
    member val Line = 1 with get, set

    /// The local time that <c>strftime_now</c> shows.
    member _.Now = now

    /// Stops the rendering.
    member run.Fail(message: string) : 'a =
        raise (TemplateFault(run.Line, message))

    /// Charges units of work.
    member run.Charge(units: int64) : unit =
        spent <- spent + units

        if spent > TemplateLimit.work then
            run.Fail $"the template does too much work: more than {TemplateLimit.work} steps"

    /// Charges for a string of that many UTF-16 units before it is made.
    member run.ChargeText(length: int64) : unit =
        if length > int64 TemplateLimit.text then
            run.Fail $"a string of {length} characters is too long: the limit is {TemplateLimit.text}"

        run.Charge(1L + length / 16L)

    /// Goes one level deeper; <c>Leave</c> goes back. After a fault nobody goes on, so no level needs to be left then.
    member run.Enter() : unit =
        depth <- depth + 1

        if
            depth > TemplateLimit.nesting
            || not (RuntimeHelpers.TryEnsureSufficientExecutionStack())
        then
            run.Fail $"the template nests too deep: the limit is {TemplateLimit.nesting} levels"

    member _.Leave() : unit = depth <- depth - 1
