namespace Reft.Core

open System
open System.IO
open System.Runtime.InteropServices
open Microsoft.Win32.SafeHandles

module private Posix =
    [<DllImport("libc", EntryPoint = "open", SetLastError = true)>]
    extern int openFolder([<MarshalAs(UnmanagedType.LPUTF8Str)>] string path, int flags)

    [<DllImport("libc", EntryPoint = "fsync", SetLastError = true)>]
    extern int fsync(SafeFileHandle descriptor)

/// <summary>
/// Writing files so that a reader sees the old content or the new one, never a part: a temporary file in the same folder
/// is written, flushed to the disk and renamed. On any failure (a full disk, an exception of the writer) the old file
/// stays as it was and no temporary file is left.
/// </summary>
[<RequireQualifiedAccess>]
module AtomicFile =

    /// A rename is durable once its folder is on the disk. Some file systems refuse to sync a folder: then the rename is
    /// still atomic, and nothing more can be done.
    let private syncFolder (folder: string) =
        if not (OperatingSystem.IsWindows()) then
            let readOnly = 0
            let descriptor = Posix.openFolder (folder, readOnly)

            if descriptor >= 0 then
                use handle = new SafeFileHandle(nativeint descriptor, ownsHandle = true)
                Posix.fsync handle |> ignore

    let private stage (folder: string) (write: Stream -> unit) =
        let temporary = Path.Combine(folder, $".{Guid.NewGuid():N}.tmp")

        try
            use stream =
                new FileStream(temporary, FileMode.CreateNew, FileAccess.Write, FileShare.None, 1 <<< 16)

            write stream
            stream.Flush(flushToDisk = true)
        with _ ->
            File.Delete temporary
            reraise ()

        temporary

    /// <summary>
    /// Writes several files of one folder, which is made if need be. All are first written completely under temporary
    /// names, then renamed in the given order: put the file that names the others (the manifest) last, and a reader that
    /// starts from it finds them complete.
    /// </summary>
    /// <param name="folder">The folder.</param>
    /// <param name="files">Plain file names, each with what writes its content.</param>
    /// <exception cref="T:System.ArgumentException">A name is not a plain file name, or comes twice.</exception>
    /// <exception cref="T:System.IO.IOException">Writing failed, e.g. because the disk is full.</exception>
    let writeAll (folder: string) (files: (string * (Stream -> unit)) list) : unit =
        for name, _ in files do
            if
                String.IsNullOrEmpty name
                || Path.GetFileName name <> name
                || name = "."
                || name = ".."
            then
                invalidArg (nameof files) $"expected a plain file name, found '{name}'"

        if files |> List.distinctBy fst |> List.length <> files.Length then
            invalidArg (nameof files) "expected every file name once"

        let folder = Path.GetFullPath folder
        Directory.CreateDirectory folder |> ignore
        let staged = ResizeArray<struct (string * string)>()

        try
            for name, write in files do
                staged.Add(struct (stage folder write, Path.Combine(folder, name)))

            for struct (temporary, path) in staged do
                File.Move(temporary, path, overwrite = true)
        finally
            // Those already renamed are gone under their temporary names.
            for struct (temporary, _) in staged do
                File.Delete temporary

        syncFolder folder

    /// <summary>Writes one file; its folder is made if need be.</summary>
    /// <exception cref="T:System.IO.IOException">Writing failed, e.g. because the disk is full: the old file is intact.</exception>
    let write (path: string) (writer: Stream -> unit) : unit =
        let path = Path.GetFullPath path

        match Path.GetDirectoryName path, Path.GetFileName path with
        | null, _
        | _, null
        | _, "" -> invalidArg (nameof path) $"expected the path of a file, found '{path}'"
        | folder, name -> writeAll folder [ name, writer ]
