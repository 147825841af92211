namespace Reft.Core

open System.Collections.Generic

/// Where a loop stands: what the variable <c>loop</c> shows. Items are taken one by one, ahead only as far as asked.
[<Sealed>]
type internal TemplateLoopState(run: TemplateRun, items: TemplateValue seq, known: int option, depth: int) =
    let source = items.GetEnumerator()
    let ahead = Queue<TemplateValue>()
    let mutable index = -1
    let mutable current: TemplateValue option = None
    let mutable previous: TemplateValue option = None
    let mutable changing: TemplateValue list option = None

    let fetch () =
        if source.MoveNext() then
            run.Charge 1L
            ahead.Enqueue source.Current
            true
        else
            false

    let next () =
        if ahead.Count > 0 || fetch () then
            Some(ahead.Peek())
        else
            None

    let length () =
        match known with
        | Some length -> length
        | None ->
            while fetch () do
                ()

            index + 1 + ahead.Count

    /// Goes on to the next item.
    member _.TryAdvance() : TemplateValue option =
        match next () with
        | Some item ->
            ahead.Dequeue() |> ignore
            previous <- current
            current <- Some item
            index <- index + 1
            current
        | None -> None

    /// What <c>loop.name</c> is.
    member _.Attribute(name: string) : TemplateValue option =
        let number (n: int) = Some(TemplateValue.int n)

        let call name apply =
            Some(TemplateValue.Function(TemplateFunction(name, apply)))

        match name with
        | "index" -> number (index + 1)
        | "index0" -> number index
        | "revindex" -> number (length () - index)
        | "revindex0" -> number (length () - index - 1)
        | "length" -> number (length ())
        | "depth" -> number (depth + 1)
        | "depth0" -> number depth
        | "first" -> Some(TemplateValue.Bool(index = 0))
        | "last" -> Some(TemplateValue.Bool((next ()).IsNone))
        | "previtem" ->
            previous
            |> Option.orElse (Some(TemplateValue.Undefined "there is no previous item"))
        | "nextitem" -> next () |> Option.orElse (Some(TemplateValue.Undefined "there is no next item"))
        | "cycle" ->
            call "loop.cycle" (fun call ->
                match call.Positional with
                | [] -> run.Fail "loop.cycle: no items for cycling given"
                | many -> many[index % many.Length])
        | "changed" ->
            call "loop.changed" (fun call ->
                let same =
                    match changing with
                    | Some before ->
                        before.Length = call.Positional.Length
                        && List.forall2 (TemplateValue.equal run) before call.Positional
                    | None -> false

                changing <- Some call.Positional
                TemplateValue.Bool(not same))
        | _ -> None
