using System.Collections.Immutable;
using System.Reflection.Metadata;
using System.Reflection.Metadata.Ecma335;
using System.Reflection.PortableExecutable;
using Expecto;
using Expecto.CSharp;
using TorchSharp;

namespace Reft.Tests.Conventions;

/// <summary>
/// Many methods of TorchSharp make a Scalar that may be freed while the native call reads it, once another thread sets off a
/// collection: its operators of a tensor and a number, the sum of two tensors, the square. The libraries use none of them.
/// </summary>
public static class HeldNumberTests
{
    /// <summary>No number that nothing holds.</summary>
    [Tests]
    public static readonly Test Held = Runner.TestList(
        "Numbers for libtorch",
        [
            Runner.TestCase("none is freed during its call, in the core", () => CallsNone(typeof(Core.Reft).Assembly.Location)),
            Runner.TestCase("none is freed during its call, in the facade", () => CallsNone(typeof(ReftModel).Assembly.Location)),
            Runner.TestCase("they are the same numbers, on many threads that collect", OnManyThreads),
        ]);

    // Where numbers are made on purpose, and held: by Held itself, or by a `use` around the call.
    private static readonly string[] Holders = ["HeldNumbers", "Argument", "dsharp", "ParameterShapes"];

    private static void CallsNone(string assembly)
    {
        var makers = Makers();
        Check.That(makers.Contains("Tensor.op_Addition(Tensor, Tensor)"), "expected the sum of two tensors to make a Scalar");
        var strays = Calls(assembly)
            .SelectMany(method => method.Value
                .Where(called => makers.Contains(called)
                    || (IsNumber(called) && !Holders.Contains(method.Key[..method.Key.IndexOf('.', StringComparison.Ordinal)])))
                .Select(called => $"{method.Key} calls {called}"))
            .ToArray();
        Check.That(
            strays.Length == 0,
            $"{Path.GetFileName(assembly)} gives libtorch numbers that may be freed during the call. Use what Tensors/Held.fs has. Found: {string.Join("; ", strays)}");
    }

    private static bool IsNumber(string method) => method.StartsWith("ScalarExtensionMethods.ToScalar(", StringComparison.Ordinal);

    // Methods of TorchSharp that make a Scalar, or call one that does.
    private static HashSet<string> Makers()
    {
        var calls = Calls(typeof(torch).Assembly.Location);
        var callers = calls.SelectMany(method => method.Value.Select(called => (called, method.Key))).ToLookup(pair => pair.called, pair => pair.Key);
        HashSet<string> found = [.. calls.Keys.Where(name => name.StartsWith("Scalar.op_Implicit(", StringComparison.Ordinal) || IsNumber(name))];
        var next = new Queue<string>(found);
        while (next.TryDequeue(out var maker))
        {
            foreach (var caller in callers[maker].Where(found.Add))
            {
                next.Enqueue(caller);
            }
        }

        // Of numbers alone, where the core gives tensors.
        found.Remove("CompilationUnit.invoke(String, Object[])");
        found.RemoveWhere(IsNumber);
        return found;
    }

    // What each method calls, or makes a delegate of; generic ones by their definitions.
    private static Dictionary<string, HashSet<string>> Calls(string assembly)
    {
        using var file = new PEReader(File.OpenRead(assembly));
        var reader = file.GetMetadataReader();
        var names = new Names();
        var found = new Dictionary<string, HashSet<string>>();
        foreach (var method in reader.MethodDefinitions.Select(reader.GetMethodDefinition).Where(method => method.RelativeVirtualAddress != 0))
        {
            var called = found.TryGetValue(Own(method), out var known) ? known : found[Own(method)] = [];
            var code = file.GetMethodBody(method.RelativeVirtualAddress).GetILBytes()!;
            for (var i = 0; i + 4 < code.Length; i++)
            {
                // call, callvirt, newobj, and ldftn and ldvirtftn; a number that only looks like one makes the test stricter.
                if ((code[i] is 0x28 or 0x6F or 0x73 || (i > 0 && code[i - 1] == 0xFE && code[i] is 0x06 or 0x07))
                    && NameOf(BitConverter.ToInt32(code, i + 1)) is { } name)
                {
                    called.Add(name);
                }
            }
        }

        return found;

        string? NameOf(int token)
        {
            var row = token & 0xFFFFFF;
            return (token >>> 24) switch
            {
                0x06 when row > 0 && row <= reader.MethodDefinitions.Count => Own(reader.GetMethodDefinition(MetadataTokens.MethodDefinitionHandle(row))),
                0x0A when row > 0 && row <= reader.MemberReferences.Count => Other(reader.GetMemberReference(MetadataTokens.MemberReferenceHandle(row))),
                0x2B when row > 0 && row <= reader.GetTableRowCount(TableIndex.MethodSpec) =>
                    NameOf(MetadataTokens.GetToken(reader.GetMethodSpecification(MetadataTokens.MethodSpecificationHandle(row)).Method)),
                _ => null,
            };
        }

        string Own(MethodDefinition method) =>
            Shown(reader.GetString(reader.GetTypeDefinition(method.GetDeclaringType()).Name), method.Name, method.DecodeSignature(names, null!));

        string? Other(MemberReference member) => member.GetKind() != MemberReferenceKind.Method ? null : Shown(
            member.Parent.Kind switch
            {
                HandleKind.TypeReference => reader.GetString(reader.GetTypeReference((TypeReferenceHandle)member.Parent).Name),
                HandleKind.TypeDefinition => reader.GetString(reader.GetTypeDefinition((TypeDefinitionHandle)member.Parent).Name),
                HandleKind.TypeSpecification => reader.GetTypeSpecification((TypeSpecificationHandle)member.Parent).DecodeSignature(names, null!),
                _ => "",
            },
            member.Name,
            member.DecodeMethodSignature(names, null!));

        string Shown(string type, StringHandle name, MethodSignature<string> signature) =>
            $"{type}.{reader.GetString(name)}({string.Join(", ", signature.ParameterTypes)})";
    }

    // Generation on several threads, while another one collects: the texts are those of one thread.
    private static void OnManyThreads()
    {
        using var model = ReftModel.Load(TinyLlama.Folder, TinyLlama.Spec);
        var options = new GenerationOptions
        {
            MaxNewTokens = 12,
            IgnoreEos = true,
            Sampling = new SamplingOptions { Temperature = 0.9, TopP = 0.9, TopK = 40, MinP = 0.01, Seed = 3 },
            RepetitionPenalty = 1.1,
        };
        var expected = Text();
        using var enough = new CancellationTokenSource();
        var collecting = Task.Run(() =>
        {
            while (!enough.IsCancellationRequested)
            {
                GC.Collect(0);
                GC.WaitForPendingFinalizers();
            }
        });
        try
        {
            var found = new int[8][];
            Parallel.For(0, found.Length, new ParallelOptions { MaxDegreeOfParallelism = 4 }, i => found[i] = Text());
            foreach (var text in found)
            {
                Check.Same(expected, text, "tokens");
            }
        }
        finally
        {
            enough.Cancel();
            collecting.GetAwaiter().GetResult();
        }

        int[] Text() => [.. model.GenerateBatch([[1, 40, 80], [1, 50, 70, 90]], options).SelectMany(result => result.TokenIds)];
    }

    // Types by their names alone.
    private sealed class Names : ISignatureTypeProvider<string, object>
    {
        public string GetPrimitiveType(PrimitiveTypeCode typeCode) => typeCode.ToString();

        public string GetTypeFromDefinition(MetadataReader reader, TypeDefinitionHandle handle, byte rawTypeKind) =>
            reader.GetString(reader.GetTypeDefinition(handle).Name);

        public string GetTypeFromReference(MetadataReader reader, TypeReferenceHandle handle, byte rawTypeKind) =>
            reader.GetString(reader.GetTypeReference(handle).Name);

        public string GetTypeFromSpecification(MetadataReader reader, object genericContext, TypeSpecificationHandle handle, byte rawTypeKind) => "";

        public string GetSZArrayType(string elementType) => elementType + "[]";

        public string GetArrayType(string elementType, ArrayShape shape) => elementType + "[,]";

        public string GetByReferenceType(string elementType) => elementType + "&";

        public string GetPointerType(string elementType) => elementType + "*";

        public string GetPinnedType(string elementType) => elementType;

        public string GetModifiedType(string modifier, string unmodifiedType, bool isRequired) => unmodifiedType;

        public string GetFunctionPointerType(MethodSignature<string> signature) => "function";

        public string GetGenericInstantiation(string genericType, ImmutableArray<string> typeArguments) => genericType;

        public string GetGenericMethodParameter(object genericContext, int index) => $"!!{index}";

        public string GetGenericTypeParameter(object genericContext, int index) => $"!{index}";
    }
}
