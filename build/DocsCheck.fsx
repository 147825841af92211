/// Compiles the code blocks of README.md and docs/*.md, so that no page shows code that does not work.
///
/// F#: the ```fsharp blocks of a page make one script, which is type-checked; its blocks tagged ```fsharp run make a
/// second one, which is executed. C#: every ```csharp block becomes a method of one generated project; `using`
/// directives are hoisted to the top of the page, and type declarations at the end of a block stand beside the method.
/// Anything that is not code is fenced as ```text, ```sh or ```json. Unknown F# and C# tags are errors.
module DocsCheck

#load "Shell.fsx"

open System
open System.IO
open System.Text.RegularExpressions

type Block =
    { Page: string
      Line: int
      Tag: string
      Code: string list }

let private pages () =
    "README.md" :: Shell.filesIn "docs" "*.md" SearchOption.AllDirectories

/// The fenced blocks of a page, with the number of each block's first line.
let private blocksOf page =
    let rec scan blocks opened line (lines: string list) =
        match opened, lines with
        | None, [] -> List.rev blocks
        | Some block, [] -> failwith $"{page}:{block.Line - 1}: this code fence is never closed"
        | None, text :: rest when text.StartsWith "```" ->
            let block =
                { Page = page
                  Line = line + 1
                  Tag = text.Substring(3).Trim()
                  Code = [] }

            scan blocks (Some block) (line + 1) rest
        | Some block, text :: rest when text.StartsWith "```" ->
            scan
                ({ block with
                    Code = List.rev block.Code }
                 :: blocks)
                None
                (line + 1)
                rest
        | Some block, text :: rest -> scan blocks (Some { block with Code = text :: block.Code }) (line + 1) rest
        | None, _ :: rest -> scan blocks None (line + 1) rest

    File.ReadAllLines(Shell.at page) |> List.ofArray |> scan [] None 1

let private checkTag block =
    let language = (block.Tag.Split ' ' |> Array.head).ToLowerInvariant()

    if
        List.contains language [ "fsharp"; "f#"; "fs"; "csharp"; "c#"; "cs" ]
        && not (List.contains block.Tag [ "fsharp"; "fsharp run"; "csharp" ])
    then
        failwith
            $"{block.Page}:{block.Line - 1}: the fence tag '{block.Tag}' is not one of 'fsharp', 'fsharp run', 'csharp'. Code that cannot compile is fenced as 'text'."

let private fileName (page: string) =
    page.Replace('/', '_').Replace(".md", "").Replace('-', '_')

// Pages show how a user refers to the packages or to the build; here the header already does.
let private isReference (line: string) = Regex.IsMatch(line, @"^#(r|I)\s")

let private script folder name blocks =
    let output = Shell.at "examples/Scripts/bin/Release/net10.0"

    let lines =
        [ $"#I @\"{output}\""
          "#r \"TorchSharp.dll\""
          "#r \"Reft.Core.dll\""
          for block in blocks do
              $"# {block.Line} @\"{Shell.at block.Page}\""
              yield! block.Code |> List.map (fun line -> if isReference line then "" else line) ]

    let file = Path.Combine(folder, name + ".fsx")
    File.WriteAllLines(file, lines)
    file

let private checkFSharp folder page (blocks: Block list) =
    let fsi (options: string list) (file: string) =
        let verb = if List.isEmpty options then "run" else "type-check"
        printfn $"  {page}: {verb}"
        Shell.runIn Shell.root [] "dotnet" [ "fsi"; yield! options; file ] = 0

    let written = blocks |> List.filter (fun block -> block.Tag.StartsWith "fsharp")
    let executed = written |> List.filter (fun block -> block.Tag = "fsharp run")

    (List.isEmpty written
     || fsi [ "--typecheck-only"; "--nologo" ] (script folder (fileName page) written))
    && (List.isEmpty executed
        || fsi [] (script folder (fileName page + "_run") executed))

let private isUsing (line: string) =
    Regex.IsMatch(line, @"^using\s+(static\s+)?[\w.]+(\s*=\s*[^;(]+)?;\s*$")

let private isTypeDeclaration (line: string) =
    Regex.IsMatch(
        line,
        @"^((public|internal|sealed|static|abstract|partial|readonly|file|ref)\s+)*(class|record|struct|interface|enum)\s"
    )

let private csharpPage (page: string) (blocks: Block list) =
    let usings = blocks |> List.collect _.Code |> List.filter isUsing |> List.distinct

    let body block =
        // `using` lines stay as empty ones, so that a compiler error names the line of the page.
        let code = block.Code |> List.map (fun line -> if isUsing line then "" else line)
        let statements = code |> List.takeWhile (isTypeDeclaration >> not)
        let declarations = code |> List.skip statements.Length

        [ $"internal static class Block{block.Line} {{ internal static async Task Run(string[] args) {{"
          $"#line {block.Line} \"{Shell.at block.Page}\""
          yield! statements
          "#line hidden"
          "} }"
          $"#line {block.Line + statements.Length} \"{Shell.at block.Page}\""
          yield! declarations
          "#line default" ]

    [ yield! usings
      $"namespace Docs.{fileName page};"
      yield! blocks |> List.collect body ]

let private checkCSharp folder (blocks: Block list) =
    let csharp =
        blocks |> List.filter (fun block -> block.Tag = "csharp") |> List.groupBy _.Page

    let assemblies = Shell.at "src/Reft.Cli/bin/Release/net10.0"

    for page, ofPage in csharp do
        File.WriteAllLines(Path.Combine(folder, fileName page + ".cs"), csharpPage page ofPage)

    let references =
        [ "Reft.Interop.CSharp"; "Reft.Core"; "TorchSharp"; "FSharp.Core" ]
        |> List.map (fun name -> $"<Reference Include=\"{name}\" HintPath=\"{assemblies}/{name}.dll\" />")
        |> String.concat ""

    // Snippets declare without using and await nothing: these warnings say nothing here.
    File.WriteAllText(
        Path.Combine(folder, "Docs.csproj"),
        $"<Project Sdk=\"Microsoft.NET.Sdk\"><PropertyGroup><TargetFramework>net10.0</TargetFramework><Nullable>enable</Nullable><ImplicitUsings>enable</ImplicitUsings><NoWarn>$(NoWarn);CS0219;CS1998;CS8321</NoWarn></PropertyGroup><ItemGroup>{references}</ItemGroup></Project>"
    )

    // The settings of this repository end here: a reader's project has none of them.
    for name in [ "Directory.Build.props"; "Directory.Build.targets" ] do
        File.WriteAllText(Path.Combine(folder, name), "<Project />")

    let count = csharp |> List.sumBy (fun (_, ofPage) -> ofPage.Length)
    printfn $"  C#: {count} blocks in one project"

    List.isEmpty csharp
    || Shell.runIn Shell.root [] "dotnet" [ "build"; folder; "--nologo"; "-v"; "q"; "-m:1" ] = 0

let run () =
    let folder = Shell.emptyFolder "docs-check"
    let byPage = pages () |> List.map (fun page -> page, blocksOf page)
    let blocks = byPage |> List.collect snd
    blocks |> List.iter checkTag

    // Every page is checked before the build stops.
    let results =
        checkCSharp folder blocks
        :: (byPage |> List.map (fun (page, ofPage) -> checkFSharp folder page ofPage))

    if List.contains false results then
        failwith "a code block does not compile or run; the errors above name the page and the line"

    printfn $"{blocks.Length} code blocks on {byPage.Length} pages"
