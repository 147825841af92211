/// What the process's memory holds, and how far a computation raises its peak.
module Reft.Benchmarks.Heap

open System.IO
open System.Runtime.InteropServices

[<StructLayout(LayoutKind.Sequential)>]
[<Struct>]
type Mallinfo =
    val Arena: unativeint
    val FreeChunks: unativeint
    val FastChunks: unativeint
    val MappedChunks: unativeint
    val Mapped: unativeint
    val MaximumUsed: unativeint
    val FastBytes: unativeint
    val InUse: unativeint
    val Free: unativeint
    val Releasable: unativeint

[<DllImport("libc", EntryPoint = "mallinfo2")>]
extern Mallinfo private mallinfo2()

/// What the C library's allocator has handed out, in MB (10⁶ bytes).
let inUse () =
    let info = mallinfo2 ()
    float (info.InUse + info.Mapped) / 1e6

/// How far a computation raises the peak of the resident memory above what is resident now, in MB.
let rise (run: unit -> unit) : float =
    // 5 resets the peak (proc(5), clear_refs).
    File.WriteAllText("/proc/self/clear_refs", "5")
    let resident = Machine.memory "VmRSS"
    run ()
    Machine.memory "VmHWM" - resident
