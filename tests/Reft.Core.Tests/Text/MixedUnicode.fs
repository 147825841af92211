/// Text of many scripts, from a fixed seed.
module Reft.Core.Tests.Text.MixedUnicode

open System
open System.Text

let private within low high (random: Random) =
    Rune(random.Next(low, high + 1)).ToString()

let private ranges =
    [| 0x61, 0x7A // Latin
       0x41, 0x5A
       0x30, 0x39
       0xC0, 0x24F
       0x370, 0x3FF // Greek
       0x400, 0x4FF
       0x531, 0x556
       0x5D0, 0x5EA // Hebrew
       0x621, 0x64A
       0x904, 0x939 // Devanagari
       0xE01, 0xE2E
       0x10A0, 0x10C5
       0x1100, 0x11F9 // Hangul in parts
       0x3041, 0x3096
       0x4E00, 0x9FFF
       0xAC00, 0xD7A3
       0xE000, 0xE0FF // for private use
       0x10330, 0x1034A // Gothic
       0x1D400, 0x1D7FF
       0x20000, 0x2A6DF
       0x1F300, 0x1F64F |]

let private others =
    [| " "
       "  "
       "\n"
       "\r\n"
       "\t"
       "\u0301"
       "\u0323"
       "\u093C"
       "\u200D"
       "\uFE0F"
       "\uFEFF"
       "\u0000"
       "\u0007"
       "\u007F"
       "\u0085"
       "\u00A0"
       "\u3000"
       "\u2028"
       "."
       ", "
       "'s"
       "\""
       "(x)"
       "👩‍👩‍👧‍👦"
       "🏳️‍🌈"
       "👍🏽"
       "🇩🇪"
       "ﬁ"
       "①"
       "Å"
       "Ω"
       "İ"
       "ß"
       "ſ"
       "▁"
       "Ġ"
       "<0x41>"
       "\uFFFD"
       "\uFFFF"
       "\U0010FFFF" |]

/// So many bytes of UTF-8, at least: words of one script each, and between them whatever else there is.
let text (bytes: int) (seed: int) : string =
    let random = Random seed
    let out = StringBuilder()
    let mutable size = 0

    let add (part: string) =
        out.Append part |> ignore
        size <- size + Encoding.UTF8.GetByteCount part

    while size < bytes do
        let low, high = ranges[random.Next ranges.Length]

        for _ in 0 .. random.Next 9 do
            add (within low high random)

        add others[if random.Next 3 = 0 then random.Next others.Length else 0]

    out.ToString()
