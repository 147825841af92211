namespace Reft.Core

open System
open System.Runtime.InteropServices

module private Glibc =
    [<DllImport("libc", EntryPoint = "mallopt")>]
    extern int mallopt(int parameter, int value)

/// <summary>
/// How the process keeps memory that tensors have freed. glibc gives large blocks back to the kernel at once, and the next
/// step faults them in again, page by page: on the first benchmark that costs more than the arithmetic around the matrix
/// products. Here it is told to keep them.
/// </summary>
/// <remarks>
/// It concerns the whole process, and only Linux with glibc. Set the environment variable <c>REFT_MALLOC=default</c> to
/// leave the allocator as it is.
/// </remarks>
[<RequireQualifiedAccess>]
module internal Allocator =

    // From malloc.h.
    let private trimThreshold, topPad, mmapThreshold = -1, -2, -3

    /// glibc's largest threshold on 64-bit systems (HEAP_MAX_SIZE / 2); it refuses more.
    let private largestMmapThreshold = 32 * 1024 * 1024

    /// Tells glibc to serve blocks of up to 32 MB from its heap, and to keep up to 1 GB of freed heap.
    let keepFreedMemory () : unit =
        if
            OperatingSystem.IsLinux()
            && Environment.GetEnvironmentVariable "REFT_MALLOC" <> "default"
        then
            try
                Glibc.mallopt (mmapThreshold, largestMmapThreshold) |> ignore
                Glibc.mallopt (trimThreshold, 1024 * 1024 * 1024) |> ignore
                Glibc.mallopt (topPad, largestMmapThreshold) |> ignore
            with :? EntryPointNotFoundException ->
                // Another C library, such as musl, has an allocator of its own.
                ()
