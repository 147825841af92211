namespace Reft.Internal;

/// <summary>The files of the paper's tasks: as their projects publish them, and as pyreft's script lays them out.</summary>
internal static class TaskFiles
{
    private const string Adapters = "LLM-Adapters";

    public static readonly TaskFile Commonsense170K = new(
        "commonsense_170k",
        ["commonsense_170k/train.json", "commonsense_170k.json", "ft-training_set/commonsense_170k.json"],
        $"{Adapters}: ft-training_set/commonsense_170k.json");

    public static readonly TaskFile Math10K = new(
        "math_10k",
        ["math_10k/train.json", "math_10k.json", "ft-training_set/math_10k.json"],
        $"{Adapters}: ft-training_set/math_10k.json");

    public static readonly IReadOnlyList<TaskFile> CommonsenseTests =
    [
        AdaptersTest("boolq", "boolq"),
        AdaptersTest("piqa", "piqa"),
        AdaptersTest("siqa", "social_i_qa"),
        AdaptersTest("hellaswag", "hellaswag"),
        AdaptersTest("winogrande", "winogrande"),
        AdaptersTest("arc-e", "ARC-Easy"),
        AdaptersTest("arc-c", "ARC-Challenge"),
        AdaptersTest("obqa", "openbookqa"),
    ];

    public static readonly IReadOnlyList<TaskFile> ArithmeticTests =
    [
        AdaptersTest("aqua", "AQuA"),
        AdaptersTest("gsm8k", "gsm8k"),
        AdaptersTest("mawps", "mawps"),
        AdaptersTest("svamp", "SVAMP"),
    ];

    public static readonly TaskFile Gsm8KTraining = Gsm8K("train");

    public static readonly TaskFile Gsm8KTest = Gsm8K("test");

    public static readonly TaskFile Alpaca = new(
        "alpaca",
        ["alpaca_data_cleaned/train.json", "alpaca_data_cleaned.json", "alpaca_data.json", "alpaca/train.json"],
        "Stanford Alpaca: alpaca_data.json, or AlpacaDataCleaned: alpaca_data_cleaned.json");

    public static readonly TaskFile UltraFeedback = new(
        "ultrafeedback",
        ["ultrafeedback/train.json", "ultrafeedback/train.jsonl", "ultrafeedback/train.parquet", "ultrafeedback.json", "ultrafeedback.jsonl"],
        "OpenBMB UltraFeedback: its JSON Lines files joined into one; or rows of instruction, input and output");

    public static readonly TaskFile AlpacaEval = new(
        "alpaca_eval",
        ["alpaca_eval/eval.json", "alpaca_eval.json"],
        "AlpacaEval: alpaca_eval.json");

    private static TaskFile AdaptersTest(string dataset, string folder) =>
        new(dataset, [$"{folder}/test.json", $"dataset/{folder}/test.json"], $"{Adapters}: dataset/{folder}/test.json");

    private static TaskFile Gsm8K(string split) =>
        new(
            "gsm8k",
            [$"gsm8k/{split}.jsonl", $"grade_school_math/data/{split}.jsonl", $"gsm8k/{split}.parquet", $"{split}.jsonl"],
            $"OpenAI grade-school-math: grade_school_math/data/{split}.jsonl");
}
