using System.Globalization;

namespace Reft.Internal;

/// <summary>Methods of the library by their names and options, as adapters have them.</summary>
internal static class Forms
{
    /// <summary>A method; options that are null are left to it.</summary>
    public static ReftIntervention Method(string name, params (string Key, object? Value)[] options) =>
        Of(name, options.Where(option => option.Value is not null).Select(option => (option.Key, Option(option.Value!))));

    /// <summary>A method whose options are texts, as on a command line.</summary>
    public static ReftIntervention Parse(string name, IEnumerable<KeyValuePair<string, string>> options) =>
        Of(name, options.Select(option => (option.Key, Read(option.Value))));

    /// <summary>A form whose options are texts, as on a command line.</summary>
    public static Core.Form Form(string name, IEnumerable<KeyValuePair<string, string>> options) =>
        Form(name, options.Select(option => (option.Key, Read(option.Value))));

    private static Core.Form Form(string name, IEnumerable<(string Key, Core.FormOption Value)> options) =>
        Core.Form.NewMethod(name, options.Select(option => Tuple.Create(option.Key, option.Value)).ToFSharpList());

    private static ReftIntervention Of(string name, IEnumerable<(string Key, Core.FormOption Value)> options) =>
        new(Core.RegistryModule.intervention(Core.RegistryModule.standard, Form(name, options)));

    private static Core.FormOption Option(object value) =>
        value switch
        {
            int number => Core.FormOption.NewInt(number),
            double number => Core.FormOption.NewFloat(number),
            bool flag => Core.FormOption.NewFlag(flag),
            InterventionStart start => Core.FormOption.NewText(start == InterventionStart.Pyreft ? "pyreft" : "identity"),
            _ => Core.FormOption.NewText(value.ToString()!),
        };

    private static Core.FormOption Read(string text) =>
        int.TryParse(text, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out var whole) ? Core.FormOption.NewInt(whole)
        : double.TryParse(text, NumberStyles.Float, CultureInfo.InvariantCulture, out var real) ? Core.FormOption.NewFloat(real)
        : bool.TryParse(text, out var flag) ? Core.FormOption.NewFlag(flag)
        : Core.FormOption.NewText(text);
}
