namespace Reft.Core

open System.Globalization
open System.Text

/// The classes of characters that tokenizers cut by, as the Rust libraries behind Hugging Face's tokenizers draw them.
[<RequireQualifiedAccess>]
module internal CharacterClass =

    /// What the regular expression \w matches in Rust: alphabetic, marks, decimal digits, connectors, joiners.
    let isWord (rune: Rune) : bool =
        match Rune.GetUnicodeCategory rune with
        | UnicodeCategory.UppercaseLetter
        | UnicodeCategory.LowercaseLetter
        | UnicodeCategory.TitlecaseLetter
        | UnicodeCategory.ModifierLetter
        | UnicodeCategory.OtherLetter
        | UnicodeCategory.NonSpacingMark
        | UnicodeCategory.SpacingCombiningMark
        | UnicodeCategory.EnclosingMark
        | UnicodeCategory.DecimalDigitNumber
        | UnicodeCategory.LetterNumber
        | UnicodeCategory.ConnectorPunctuation -> true
        | _ ->
            let value = rune.Value

            value = 0x200C
            || value = 0x200D
            || (value >= 0x24B6 && value <= 0x24E9)
            || (value >= 0x1F130 && value <= 0x1F149)
            || (value >= 0x1F150 && value <= 0x1F169)
            || (value >= 0x1F170 && value <= 0x1F189)

    /// A general category P, or any ASCII character that is neither letter, digit, space nor control: BERT's punctuation.
    let isPunctuation (rune: Rune) : bool =
        if rune.IsAscii then
            rune.Value > 0x20 && rune.Value < 0x7F && not (Rune.IsLetterOrDigit rune)
        else
            Rune.IsPunctuation rune

    /// A combining mark of any kind.
    let isMark (rune: Rune) : bool =
        match Rune.GetUnicodeCategory rune with
        | UnicodeCategory.NonSpacingMark
        | UnicodeCategory.SpacingCombiningMark
        | UnicodeCategory.EnclosingMark -> true
        | _ -> false

    /// What BERT deletes: control, format and private-use characters, but not tab, line feed and carriage return.
    let isControl (rune: Rune) : bool =
        match rune.Value with
        | 0x09
        | 0x0A
        | 0x0D -> false
        | _ ->
            match Rune.GetUnicodeCategory rune with
            | UnicodeCategory.Control
            | UnicodeCategory.Format
            | UnicodeCategory.PrivateUse -> true
            | _ -> false

    /// The blocks that BERT takes for Chinese.
    let isChinese (rune: Rune) : bool =
        let within low high = rune.Value >= low && rune.Value <= high

        within 0x4E00 0x9FFF
        || within 0x3400 0x4DBF
        || within 0x20000 0x2A6DF
        || within 0x2A700 0x2B73F
        || within 0x2B740 0x2B81F
        || within 0x2B920 0x2CEAF
        || within 0xF900 0xFAFF
        || within 0x2F800 0x2FA1F
