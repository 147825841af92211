using System.Globalization;
using System.Security.Cryptography;
using System.Text;

namespace Reft.Internal;

/// <summary>
/// The hash that an etag states: SHA-256 of the content for large files, and for others git's, the SHA-1 of
/// <c>blob SIZE\0</c> and the content.
/// </summary>
internal sealed class BlobHash : IDisposable
{
    private const int Sha256Digits = 64;

    private readonly IncrementalHash _hash;
    private readonly byte[] _prefix = [];

    public BlobHash(string etag, long size)
    {
        if (etag.Length == Sha256Digits)
        {
            Name = "SHA-256";
            _hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        }
        else
        {
            Name = "git SHA-1";
            _hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA1);
            _prefix = Encoding.ASCII.GetBytes(string.Create(CultureInfo.InvariantCulture, $"blob {size}\0"));
        }

        _hash.AppendData(_prefix);
    }

    /// <summary>What messages call it.</summary>
    public string Name { get; }

    /// <summary>More of the content.</summary>
    public void Append(ReadOnlySpan<byte> bytes) => _hash.AppendData(bytes);

    /// <summary>Forgets what came.</summary>
    public void Restart()
    {
        _ = _hash.GetHashAndReset();
        _hash.AppendData(_prefix);
    }

    /// <summary>The hash of all that came, as etags have it.</summary>
    public string Text() => Convert.ToHexStringLower(_hash.GetCurrentHash());

    public void Dispose() => _hash.Dispose();
}
