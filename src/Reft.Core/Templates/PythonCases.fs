namespace Reft.Core

open System
open System.Collections.Generic
open System.Text

/// Where Python's cases of letters are not the simple ones of .NET: the unconditional mappings of Unicode's
/// SpecialCasing.txt, and letters that .NET's invariant culture leaves alone.
[<RequireQualifiedAccess>]
module internal PythonCases =

    /// Words of a letter and what it becomes.
    let private table (words: string) : IReadOnlyDictionary<int, string> =
        dict
            [ for word in words.Split(Array.empty<char>, StringSplitOptions.RemoveEmptyEntries) do
                  let rune = Rune.GetRuneAt(word, 0)
                  rune.Value, word.Substring rune.Utf16SequenceLength ]
        |> Dictionary
        :> _

    let upper =
        table
            "ßSS ıI ŉʼN ǰJ\u030c ΐΙ\u0308\u0301 ΰΥ\u0308\u0301 ևԵՒ ẖH\u0331 ẗT\u0308 ẘW\u030a ẙY\u030a ẚAʾ
           ὐΥ\u0313 ὒΥ\u0313\u0300 ὔΥ\u0313\u0301 ὖΥ\u0313\u0342 ᾀἈΙ ᾁἉΙ ᾂἊΙ ᾃἋΙ ᾄἌΙ ᾅἍΙ ᾆἎΙ ᾇἏΙ ᾈἈΙ ᾉἉΙ
           ᾊἊΙ ᾋἋΙ ᾌἌΙ ᾍἍΙ ᾎἎΙ ᾏἏΙ ᾐἨΙ ᾑἩΙ ᾒἪΙ ᾓἫΙ ᾔἬΙ ᾕἭΙ ᾖἮΙ ᾗἯΙ ᾘἨΙ ᾙἩΙ ᾚἪΙ ᾛἫΙ ᾜἬΙ ᾝἭΙ ᾞἮΙ ᾟἯΙ ᾠὨΙ ᾡὩΙ
           ᾢὪΙ ᾣὫΙ ᾤὬΙ ᾥὭΙ ᾦὮΙ ᾧὯΙ ᾨὨΙ ᾩὩΙ ᾪὪΙ ᾫὫΙ ᾬὬΙ ᾭὭΙ ᾮὮΙ ᾯὯΙ ᾲᾺΙ ᾳΑΙ ᾴΆΙ ᾶΑ\u0342 ᾷΑ\u0342Ι ᾼΑΙ ῂῊΙ
           ῃΗΙ ῄΉΙ ῆΗ\u0342 ῇΗ\u0342Ι ῌΗΙ ῒΙ\u0308\u0300 ΐΙ\u0308\u0301 ῖΙ\u0342 ῗΙ\u0308\u0342
           ῢΥ\u0308\u0300 ΰΥ\u0308\u0301 ῤΡ\u0313 ῦΥ\u0342 ῧΥ\u0308\u0342 ῲῺΙ ῳΩΙ ῴΏΙ ῶΩ\u0342 ῷΩ\u0342Ι
           ῼΩΙ ﬀFF ﬁFI ﬂFL ﬃFFI ﬄFFL ﬅST ﬆST ﬓՄՆ ﬔՄԵ ﬕՄԻ ﬖՎՆ ﬗՄԽ"

    let lower = table "İi\u0307"

    /// Only those that differ from the upper case.
    let title =
        table
            "ßSs Ǆǅ ǅǅ ǆǅ Ǉǈ ǈǈ ǉǈ Ǌǋ ǋǋ ǌǋ Ǳǲ ǲǲ ǳǲ ևԵւ აა ბბ გგ დდ ეე ვვ ზზ თთ იი კკ ლლ მმ ნნ ოო პპ ჟჟ რრ
           სს ტტ უუ ფფ ქქ ღღ ყყ შშ ჩჩ ცც ძძ წწ ჭჭ ხხ ჯჯ ჰჰ ჱჱ ჲჲ ჳჳ ჴჴ ჵჵ ჶჶ ჷჷ ჸჸ ჹჹ ჺჺ ჽჽ ჾჾ ჿჿ ᾀᾈ ᾁᾉ ᾂᾊ
           ᾃᾋ ᾄᾌ ᾅᾍ ᾆᾎ ᾇᾏ ᾈᾈ ᾉᾉ ᾊᾊ ᾋᾋ ᾌᾌ ᾍᾍ ᾎᾎ ᾏᾏ ᾐᾘ ᾑᾙ ᾒᾚ ᾓᾛ ᾔᾜ ᾕᾝ ᾖᾞ ᾗᾟ ᾘᾘ ᾙᾙ ᾚᾚ ᾛᾛ ᾜᾜ ᾝᾝ ᾞᾞ ᾟᾟ ᾠᾨ ᾡᾩ ᾢᾪ
           ᾣᾫ ᾤᾬ ᾥᾭ ᾦᾮ ᾧᾯ ᾨᾨ ᾩᾩ ᾪᾪ ᾫᾫ ᾬᾬ ᾭᾭ ᾮᾮ ᾯᾯ ᾲᾺ\u0345 ᾳᾼ ᾴΆ\u0345 ᾷΑ\u0342\u0345 ᾼᾼ ῂῊ\u0345 ῃῌ
           ῄΉ\u0345 ῇΗ\u0342\u0345 ῌῌ ῲῺ\u0345 ῳῼ ῴΏ\u0345 ῷΩ\u0342\u0345 ῼῼ ﬀFf ﬁFi ﬂFl ﬃFfi ﬄFfl ﬅSt ﬆSt
           ﬓՄն ﬔՄե ﬕՄի ﬖՎն ﬗՄխ"
