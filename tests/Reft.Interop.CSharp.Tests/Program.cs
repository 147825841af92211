using Expecto;
using Expecto.CSharp;

// Torch's random state is global and dispose scopes are per thread: the tests run one after the other.
return Runner.RunTestsInAssemblyWithCLIArgs([Tests.CLIArguments.Sequenced], args);
