namespace Reft.Internal;

/// <summary>The bytes of a row in a file.</summary>
/// <param name="Offset">Where it begins.</param>
/// <param name="Number">Its line, or which row it is where lines say nothing; both from 1.</param>
/// <param name="Bytes">What it is made of; valid until the next row is read.</param>
internal readonly record struct Record(long Offset, int Number, ReadOnlyMemory<byte> Bytes);
