/// What the tests with golden numbers share: the folder they stand in, reading them, comparing with them.
module Reft.Core.Tests.Golden

open System
open System.IO
open Expecto
open Reft.Core
open TorchSharp

/// The folder tests/golden, found upwards from the test program.
let folder: string =
    let rec up (path: string | null) =
        match path with
        | null -> invalidOp $"no folder above {AppContext.BaseDirectory} holds tests/golden"
        | path ->
            let candidate = Path.Combine(path, "tests", "golden")

            if Directory.Exists candidate then
                candidate
            else
                up (Path.GetDirectoryName path)

    up AppContext.BaseDirectory

/// A path below it.
let path (parts: string list) : string =
    Path.Combine(Array.ofList (folder :: parts))

/// Copies of all tensors of a safetensors file below it, in the current dispose scope.
let tensors (parts: string list) : Map<string, Tensor> = Safetensors.readAll (path parts)

/// ‖out − ref‖ / ‖ref‖, computed in fp64; ‖out‖ where the reference is 0.
let relativeError (expected: Tensor) (actual: Tensor) : float =
    Expect.equal (List.ofArray actual.shape) (List.ofArray expected.shape) "shape"
    use _ = torch.NewDisposeScope()
    let wide (t: Tensor) = t.detach().cpu().``to``(torch.float64)
    let norm (t: Tensor) = t.square().sum().sqrt().item<float>()
    let scale = norm (wide expected)
    let difference = norm (wide actual - wide expected)
    if scale = 0.0 then difference else difference / scale

/// Fails unless the relative error is at most the tolerance (NaN fails too).
let expectClose (tolerance: float) (expected: Tensor) (actual: Tensor) (what: string) : unit =
    let error = relativeError expected actual

    if not (error <= tolerance) then
        failtestf "%s: relative error %g, allowed %g" what error tolerance

/// Whether two tensors have the same dtype, shape and values.
let same (expected: Tensor) (actual: Tensor) : bool =
    use _ = torch.NewDisposeScope()

    actual.dtype = expected.dtype
    && actual.shape = expected.shape
    && (actual.numel () = 0L || actual.eq(expected).all().item<bool>())

/// The row spans of an attention mask [batch, seq] of ones and zeros, left or right padded.
let spans (mask: Tensor) : RowSpan[] =
    let columns = int mask.shape[1]

    let ones =
        mask.cpu().``to``(torch.int64).data<int64>().ToArray()
        |> Array.chunkBySize columns

    ones
    |> Array.mapi (fun number row ->
        let length = int (Array.sum row)
        RowSpan.contiguous number (Array.IndexOf(row, 1L)) length length)

/// Runs a test body in a folder of its own, deleted afterwards, and a dispose scope.
let inTemporaryFolder (body: string -> unit) : unit =
    let folder = Directory.CreateTempSubdirectory("reft-tests-").FullName

    try
        Native.load ()
        use _ = torch.NewDisposeScope()
        body folder
    finally
        Directory.Delete(folder, recursive = true)

/// How many tensors live, those not counted that an earlier test forgot and a finalizer would free meanwhile.
let liveTensors () : int64 =
    GC.Collect()
    GC.WaitForPendingFinalizers()
    Tensor.TotalCount

/// Fails unless the body throws this exception, whose message holds every fragment.
let throwsWith<'E when 'E :> exn> (fragments: string list) (body: unit -> unit) : unit =
    let caught =
        try
            body ()
            None
        with e ->
            Some e

    match caught with
    | Some(:? 'E as e) ->
        for fragment in fragments do
            Expect.stringContains e.Message fragment "message"
    | Some e -> failtestf "expected %s, found %O" typeof<'E>.Name e
    | None -> failtestf "expected %s, nothing was thrown" typeof<'E>.Name

/// The golden checkpoints of decoders.
let decoders: string list =
    [ "llama"
      "llama31_rope"
      "llama_bias_tied"
      "mistral_sw8"
      "qwen2"
      "qwen3"
      "gemma"
      "gemma2"
      "gemma3"
      "phi3"
      "olmo2"
      "gpt2"
      "gpt_neox" ]
