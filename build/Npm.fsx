/// npm packages of fixed versions and hashes, never committed. Nothing of theirs is run.
module Npm

#load "Shell.fsx"

open System.IO

let private manifests = [ "package.json"; "package-lock.json" ]

let private stamp folder =
    Path.Combine(folder, "package-lock.json")

/// Whether a folder has what the lock in `source` names, or had when it was installed.
let isInstalled (source: string) (folder: string) =
    File.Exists(stamp folder)
    && File.ReadAllText(stamp folder) = File.ReadAllText(Shell.at $"{source}/package-lock.json")

/// Installs the packages of the lock in `source`. The lock has their hashes and no address: npm takes them from the registry
/// that it is configured for.
let install (what: string) (source: string) (folder: string) =
    Directory.CreateDirectory folder |> ignore

    for name in manifests do
        File.Copy(Shell.at $"{source}/{name}", Path.Combine(folder, name), true)

    match Shell.runIn folder [] "npm" [ "ci"; "--ignore-scripts"; "--no-audit"; "--no-fund"; "--loglevel=error" ] with
    | 0 -> ()
    | code ->
        File.Delete(stamp folder)
        failwith $"npm ci ended with exit code {code}: {what} were not installed"
