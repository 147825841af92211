namespace Reft.Core

open System
open System.IO
open System.Reflection
open System.Runtime.InteropServices
open System.Security.Cryptography
open System.Threading

/// <summary>Thrown when libtorch or TorchSharp's native library cannot be loaded; the message says what to do.</summary>
type NativeLoadException(message: string, inner: exn | null) =
    inherit Exception(message, inner)

module private Libc =
    [<DllImport("libc", EntryPoint = "dlopen")>]
    extern nativeint dlopen(string path, int flags)

    [<DllImport("libc", EntryPoint = "dlerror")>]
    extern nativeint dlerror()

    [<DllImport("libc", EntryPoint = "memfd_create", SetLastError = true)>]
    extern int memfd_create(string name, uint32 flags)

/// <summary>
/// Loads libtorch and TorchSharp's native library before the first tensor is made. Every public entry point of this
/// library that can be a program's first touch of libtorch calls <see cref="M:Reft.Core.Native.load"/>.
/// </summary>
/// <remarks>
/// Search order: the folder named by the environment variable <c>REFT_LIBTORCH</c>, the application's folder, its
/// <c>runtimes/&lt;rid&gt;/native</c>, the NuGet package cache. The shipped files are never changed: where the system's
/// libstdc++ is too old for TorchSharp's library, a patched copy in a private per-user cache (or in memory) is loaded.
/// </remarks>
[<RequireQualifiedAccess>]
module Native =

    [<Literal>]
    let private TorchSharpVersion = "0.107.0"

    [<Literal>]
    let private LibtorchVersion = "2.10.0"

    /// The symbol version that Debian 12, Ubuntu 22.04 and RHEL 9 lack and that TorchSharp's library names but never uses.
    [<Literal>]
    let private UnusedVersion = "GLIBCXX_3.4.32"

    let private rid =
        match RuntimeInformation.OSArchitecture with
        | Architecture.Arm64 -> "linux-arm64"
        | _ -> "linux-x64"

    let private dlopen (path: string) =
        let lazily = 1

        match Libc.dlopen (path, lazily) with
        | 0n -> Error(Marshal.PtrToStringUTF8(Libc.dlerror ()) |> string)
        | handle -> Ok handle

    let private packageCache () =
        match Environment.GetEnvironmentVariable "NUGET_PACKAGES" with
        | null
        | "" -> Path.Combine(Environment.GetFolderPath Environment.SpecialFolder.UserProfile, ".nuget", "packages")
        | folder -> folder

    let private searchFolders () =
        let beside =
            [ AppContext.BaseDirectory
              match Path.GetDirectoryName(Assembly.GetExecutingAssembly().Location) with
              | null
              | "" -> ()
              | folder -> folder ]

        [ match Environment.GetEnvironmentVariable "REFT_LIBTORCH" with
          | null
          | "" -> ()
          | folder ->
              folder
              Path.Combine(folder, "lib")

          yield! beside

          for folder in beside do
              Path.Combine(folder, "runtimes", rid, "native")

          let cache = packageCache ()
          Path.Combine(cache, "torchsharp", TorchSharpVersion, "runtimes", rid, "native")
          Path.Combine(cache, $"libtorch-cpu-{rid}", LibtorchVersion, "runtimes", rid, "native") ]
        |> List.distinct

    let private find (folders: string list) (file: string) =
        folders
        |> List.map (fun folder -> Path.Combine(folder, file))
        |> List.tryFind File.Exists

    let private notFound (folders: string list) (file: string) (package: string) =
        let searched =
            String.concat Environment.NewLine (folders |> List.map (fun f -> "  " + f))

        NativeLoadException(
            $"{file} was not found. Add the NuGet package {package} to the application (not to the library that uses Reft), or set REFT_LIBTORCH to a folder that holds it. Searched:{Environment.NewLine}{searched}",
            null
        )

    /// `$XDG_CACHE_HOME/reft/native/<hash of the image>`: never a shared temporary folder, where anyone could plant a file.
    let private cacheFile (image: byte[]) =
        let home =
            match Environment.GetEnvironmentVariable "XDG_CACHE_HOME" with
            | null
            | "" -> Path.Combine(Environment.GetFolderPath Environment.SpecialFolder.UserProfile, ".cache")
            | folder -> folder

        Path.Combine(home, "reft", "native", Convert.ToHexStringLower(SHA256.HashData image), "libLibTorchSharp.so")

    let private sameBytes (path: string) (image: byte[]) =
        File.Exists path
        && FileInfo(path).Length = image.LongLength
        && File.ReadAllBytes(path).AsSpan().SequenceEqual(ReadOnlySpan image)

    let private writeCache (path: string) (image: byte[]) =
        let folder = Path.GetDirectoryName path |> string

        let ownerOnly =
            UnixFileMode.UserRead ||| UnixFileMode.UserWrite ||| UnixFileMode.UserExecute

        Directory.CreateDirectory(folder, ownerOnly) |> ignore
        let temporary = Path.Combine(folder, $".{Guid.NewGuid():N}.tmp")

        try
            (use stream = new FileStream(temporary, FileMode.CreateNew, FileAccess.Write)
             stream.Write(image, 0, image.Length)
             stream.Flush true)

            File.Move(temporary, path, overwrite = true)
        finally
            File.Delete temporary

    /// Where no cache can be written (a read-only home), the image is loaded from anonymous memory.
    let private dlopenFromMemory (image: byte[]) =
        match Libc.memfd_create ("libLibTorchSharp.so", 0u) with
        | -1 -> Error $"memfd_create failed with errno {Marshal.GetLastPInvokeError()}"
        | descriptor ->
            use handle =
                new Microsoft.Win32.SafeHandles.SafeFileHandle(nativeint descriptor, ownsHandle = true)

            RandomAccess.Write(handle, ReadOnlySpan image, 0L)
            dlopen $"/proc/self/fd/{descriptor}"

    let private dlopenPatched (image: byte[]) =
        let path = cacheFile image

        let cached =
            try
                if not (sameBytes path image) then
                    writeCache path image

                sameBytes path image
            with
            | :? IOException
            | :? UnauthorizedAccessException -> false

        if cached then dlopen path else dlopenFromMemory image

    let private loadShim (folders: string list) (shim: string) =
        match dlopen shim with
        | Ok _ -> ()
        | Error first ->
            match File.ReadAllBytes shim |> ElfImage.withWeakVersion UnusedVersion with
            | None -> raise (NativeLoadException($"{shim} could not be loaded: {first}", null))
            | Some patched ->
                match dlopenPatched patched with
                | Ok _ -> ()
                | Error second ->
                    raise (
                        NativeLoadException(
                            $"{shim} could not be loaded: {first}. A copy that does not insist on {UnusedVersion} failed too: {second}. Install a libstdc++ from GCC 13 or later, or set REFT_LIBTORCH to a folder with matching libraries.",
                            null
                        )
                    )

    let private loadLinux () =
        let folders = searchFolders ()

        let libtorchPackage = $"libtorch-cpu-{rid} {LibtorchVersion}"

        // The order of their dependencies; each is then found by its SONAME, wherever the next one looks.
        for file in [ "libc10.so"; "libtorch_cpu.so"; "libtorch.so" ] do
            match find folders file with
            | None -> raise (notFound folders file libtorchPackage)
            | Some path ->
                match dlopen path with
                | Ok _ -> ()
                | Error reason -> raise (NativeLoadException($"{path} could not be loaded: {reason}", null))

        match find folders "libLibTorchSharp.so" with
        | None -> raise (notFound folders "libLibTorchSharp.so" $"TorchSharp {TorchSharpVersion}")
        | Some shim -> loadShim folders shim

    let private gate = obj ()
    let mutable private loaded = false

    /// <summary>
    /// Loads the native libraries once per process; later calls return at once. A failure is not remembered, so that a
    /// program may set <c>REFT_LIBTORCH</c> and try again.
    /// </summary>
    /// <exception cref="T:Reft.Core.NativeLoadException">
    /// A library is missing or cannot be loaded: the message names the file, the loader's reason and the package to add.
    /// </exception>
    let load () : unit =
        if not (Volatile.Read &loaded) then
            lock gate (fun () ->
                if not loaded then
                    Allocator.keepFreedMemory ()

                    if OperatingSystem.IsLinux() then
                        loadLinux ()

                    // The first touch of torch runs TorchSharp's own loader, which now finds everything loaded.
                    try
                        use probe = TorchSharp.torch.zeros 1L
                        ignore probe
                    with :? TypeInitializationException as e ->
                        let reason =
                            match e.InnerException with
                            | null -> e.Message
                            | inner -> inner.Message

                        raise (NativeLoadException($"TorchSharp did not start: {reason}", e))

                    Volatile.Write(&loaded, true))
