namespace Reft.Core

open System
open System.Buffers.Binary
open System.IO
open System.Text

/// <summary>
/// Reads the symbol-version requirements of an ELF64 little-endian shared library and can mark one of them as weak.
/// </summary>
/// <remarks>
/// LibTorchSharp is built with GCC 13 and carries a requirement on GLIBCXX_3.4.32 that no relocation uses: the only
/// symbol of that version is the marker <c>std::ios_base_library_init</c>. With VER_FLG_WEAK set in that entry
/// (gABI, "Symbol Versioning", Elf64_Vernaux.vna_flags), the loader accepts the file on systems with an older libstdc++.
/// </remarks>
[<RequireQualifiedAccess>]
module internal ElfImage =

    [<Literal>]
    let private LoadSegment = 1u

    [<Literal>]
    let private DynamicSegment = 2u

    let private tagStrTab, private tagVerNeed, private tagVerNeedNum =
        5L, 0x6ffffffeL, 0x6fffffffL

    let private u16 (image: byte[]) (offset: int) =
        BinaryPrimitives.ReadUInt16LittleEndian(ReadOnlySpan(image, offset, 2))

    let private u32 (image: byte[]) (offset: int) =
        BinaryPrimitives.ReadUInt32LittleEndian(ReadOnlySpan(image, offset, 4))

    let private i64 (image: byte[]) (offset: int) =
        BinaryPrimitives.ReadInt64LittleEndian(ReadOnlySpan(image, offset, 8))

    let private cString (image: byte[]) (offset: int) =
        let ending = Array.IndexOf(image, 0uy, offset)
        Encoding.ASCII.GetString(image, offset, ending - offset)

    type private Segment =
        { Kind: uint32
          Offset: int64
          Address: int64
          FileSize: int64 }

    let private segments image =
        let table, size, count = int (i64 image 32), int (u16 image 54), int (u16 image 56)

        [ for i in 0 .. count - 1 do
              let at = table + i * size

              { Kind = u32 image at
                Offset = i64 image (at + 8)
                Address = i64 image (at + 16)
                FileSize = i64 image (at + 32) } ]

    let private fileOffset segments address =
        segments
        |> List.tryFind (fun s -> s.Kind = LoadSegment && s.Address <= address && address < s.Address + s.FileSize)
        |> Option.map (fun s -> int (address - s.Address + s.Offset))

    /// <summary>The file offsets of the <c>vna_flags</c> fields that require <paramref name="version"/>.</summary>
    let private flagOffsets (version: string) (image: byte[]) =
        let isElf64 =
            image.Length > 64
            && u32 image 0 = 0x464c457fu
            && image[4] = 2uy
            && image[5] = 1uy

        if not isElf64 then
            []
        else
            let segments = segments image

            let dynamic =
                segments
                |> List.tryFind (fun s -> s.Kind = DynamicSegment)
                |> Option.map (fun s ->
                    Seq.unfold
                        (fun at ->
                            match i64 image at with
                            | 0L -> None
                            | tag -> Some((tag, i64 image (at + 8)), at + 16))
                        (int s.Offset)
                    |> Map.ofSeq)
                |> Option.defaultValue Map.empty

            match dynamic.TryFind tagStrTab, dynamic.TryFind tagVerNeed, dynamic.TryFind tagVerNeedNum with
            | Some strings, Some needs, Some count ->
                match fileOffset segments strings, fileOffset segments needs with
                | Some strings, Some needs ->
                    let rec auxiliaries at left =
                        [ if left > 0 then
                              if cString image (strings + int (u32 image (at + 8))) = version then
                                  at + 4

                              yield! auxiliaries (at + int (u32 image (at + 12))) (left - 1) ]

                    let rec libraries at left =
                        [ if left > 0L then
                              yield! auxiliaries (at + int (u32 image (at + 8))) (int (u16 image (at + 2)))
                              yield! libraries (at + int (u32 image (at + 12))) (left - 1L) ]

                    libraries needs count
                | _ -> []
            | _ -> []

    /// <summary>
    /// A copy of <paramref name="image"/> in which the requirement on <paramref name="version"/> is weak, or
    /// <c>None</c> where the image has no such requirement.
    /// </summary>
    let withWeakVersion (version: string) (image: byte[]) : byte[] option =
        match flagOffsets version image with
        | [] -> None
        | offsets ->
            let patched = Array.copy image

            for at in offsets do
                patched[at] <- patched[at] ||| 0x2uy

            Some patched
