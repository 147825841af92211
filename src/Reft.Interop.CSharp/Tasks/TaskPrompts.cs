namespace Reft;

/// <summary>The prompts of the paper's tasks, letter by letter as pyreft has them (examples/loreft/templates.py, task_config.py).</summary>
public static class TaskPrompts
{
    /// <summary>What an answer of the commonsense tasks begins with.</summary>
    public const string CommonsenseTrigger = "the correct answer is ";

    /// <summary>The last line of Alpaca's prompts, after which the answer stands.</summary>
    public const string ResponseTrigger = "### Response:";

    /// <summary>The end of GSM8K's prompt, after which the answer stands.</summary>
    public const string StepByStepTrigger = "First think step by step and then answer the final number.\n";

    private const string Below = "Below is an instruction that describes a task";

    /// <summary>A commonsense question: the instruction and a line break. The files hold the question, the choices and the form of the answer.</summary>
    public static string Commonsense(string instruction) => instruction + "\n";

    /// <summary>Alpaca's prompt; without its input where that is null or empty.</summary>
    public static string Alpaca(string instruction, string? input = null) =>
        string.IsNullOrEmpty(input)
            ? $"{Below}. Write a response that appropriately completes the request.\n\n### Instruction:\n{instruction}\n\n{ResponseTrigger}\n"
            : $"{Below}, paired with an input that provides further context. Write a response that appropriately completes the request.\n\n### Instruction:\n{instruction}\n\n### Input:\n{input}\n\n{ResponseTrigger}\n";

    /// <summary>GSM8K in its own format, as LoftQ asks it.</summary>
    public static string StepByStep(string question) => $"{question}\nAnswer the above question. {StepByStepTrigger}";
}
