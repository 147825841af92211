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

    private static void CallsNone(string assembly)
    {
        var makers = Makers();
        Check.That(makers.Contains("Tensor.op_Addition(Tensor, Tensor)"), "expected the sum of two tensors to make a Scalar");
        var strays = Methods(assembly).Calls.Where(makers.Contains).Distinct().ToArray();
        Check.That(
            strays.Length == 0,
            $"{Path.GetFileName(assembly)} gives libtorch numbers that may be freed during the call. Use what Tensors/Held.fs has, or `using var number = x.ToScalar()`. Found: {string.Join("; ", strays)}");
    }

    // Methods of TorchSharp that make a Scalar, or call one that does; but for what takes a Scalar and makes none.
    private static HashSet<string> Makers()
    {
        var (calls, _) = Methods(typeof(torch).Assembly.Location, within: true);
        var callers = calls.SelectMany(method => method.Value.Select(called => (Called: called, Caller: method.Key))).ToLookup(pair => pair.Called, pair => pair.Caller);
        HashSet<string> found = [.. calls.Keys.Where(name =>
            name.StartsWith("Scalar.op_Implicit(", StringComparison.Ordinal) || name.StartsWith("ScalarExtensionMethods.ToScalar(", StringComparison.Ordinal))];
        var next = new Queue<string>(found);
        while (next.TryDequeue(out var maker))
        {
            foreach (var caller in callers[maker].Where(found.Add))
            {
                next.Enqueue(caller);
            }
        }

        // Made on purpose, and held; and of numbers alone, where the core gives tensors.
        found.RemoveWhere(name => name.StartsWith("ScalarExtensionMethods.ToScalar(", StringComparison.Ordinal) || name == "CompilationUnit.invoke(String, Object[])");
        return found;
    }

    // What each method of an assembly calls of its own (within), or all that it calls of others.
    private static (Dictionary<string, HashSet<string>> ByMethod, IReadOnlyList<string> Calls) Methods(string assembly, bool within = false)
    {
        using var file = new PEReader(File.OpenRead(assembly));
        var reader = file.GetMetadataReader();
        var names = new Names();
        string[] calls =
        [
            .. reader.MemberReferences.Select(reader.GetMemberReference)
                .Where(member => member.Parent.Kind == HandleKind.TypeReference && member.GetKind() == MemberReferenceKind.Method)
                .Select(member => Shown(
                    reader.GetTypeReference((TypeReferenceHandle)member.Parent).Name, member.Name, member.DecodeMethodSignature(names, null!))),
        ];
        var byMethod = new Dictionary<string, HashSet<string>>();
        foreach (var method in within ? reader.MethodDefinitions.Select(reader.GetMethodDefinition).Where(method => method.RelativeVirtualAddress != 0) : [])
        {
            var code = file.GetMethodBody(method.RelativeVirtualAddress).GetILBytes()!;
            var called = byMethod.TryGetValue(Own(method), out var known) ? known : byMethod[Own(method)] = [];
            for (var i = 0; i + 4 < code.Length; i++)
            {
                // call, callvirt, newobj; a number that only looks like one names no method, or makes the test stricter.
                if (code[i] is 0x28 or 0x6F or 0x73
                    && BitConverter.ToInt32(code, i + 1) is var token
                    && token >>> 24 == 0x06
                    && (token & 0xFFFFFF) is var row
                    && row > 0
                    && row <= reader.MethodDefinitions.Count)
                {
                    called.Add(Own(reader.GetMethodDefinition(MetadataTokens.MethodDefinitionHandle(row))));
                }
            }
        }

        return (byMethod, calls);

        string Own(MethodDefinition method) =>
            Shown(reader.GetTypeDefinition(method.GetDeclaringType()).Name, method.Name, method.DecodeSignature(names, null!));

        string Shown(StringHandle type, StringHandle name, MethodSignature<string> signature) =>
            $"{reader.GetString(type)}.{reader.GetString(name)}({string.Join(", ", signature.ParameterTypes)})";
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
