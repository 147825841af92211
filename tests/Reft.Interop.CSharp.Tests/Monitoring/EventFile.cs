using System.Buffers.Binary;
using System.Text;

namespace Reft.Tests.Monitoring;

/// <summary>
/// TensorBoard's event files, read by their format alone: records of a length, its masked CRC-32C, the data and its masked
/// CRC-32C; the data is a protobuf Event.
/// </summary>
internal static class EventFile
{
    /// <summary>The scalars, in order. Every checksum is held against the data.</summary>
    public static List<(string Tag, long Step, float Value)> Scalars(string path)
    {
        var bytes = File.ReadAllBytes(path);
        var scalars = new List<(string, long, float)>();
        var first = true;
        for (var at = 0; at < bytes.Length;)
        {
            var length = checked((int)BinaryPrimitives.ReadUInt64LittleEndian(bytes.AsSpan(at, 8)));
            Check.Equal(Masked(bytes.AsSpan(at, 8)), BinaryPrimitives.ReadUInt32LittleEndian(bytes.AsSpan(at + 8, 4)), "the checksum of a length");
            var data = bytes.AsSpan(at + 12, length);
            Check.Equal(Masked(data), BinaryPrimitives.ReadUInt32LittleEndian(bytes.AsSpan(at + 12 + length, 4)), "the checksum of a record");
            at += 16 + length;
            long step = 0;
            foreach (var (field, number, value) in Fields(data.ToArray()))
            {
                step = field == 2 ? (long)number : step;
                if (first && field == 3)
                {
                    Check.Equal("brain.Event:2", Encoding.UTF8.GetString(value), "the version of the file");
                }

                if (field == 5)
                {
                    scalars.AddRange(Fields(value).Where(one => one.Field == 1).Select(one => Scalar(one.Bytes, step)));
                }
            }

            first = false;
        }

        return scalars;
    }

    private static (string Tag, long Step, float Value) Scalar(byte[] summary, long step)
    {
        var fields = Fields(summary).ToArray();
        return (
            Encoding.UTF8.GetString(fields.Single(field => field.Field == 1).Bytes),
            step,
            BitConverter.UInt32BitsToSingle((uint)fields.Single(field => field.Field == 2).Number));
    }

    private static IEnumerable<(int Field, ulong Number, byte[] Bytes)> Fields(byte[] message)
    {
        for (var at = 0; at < message.Length;)
        {
            var key = Varint(message, ref at);
            var (number, bytes) = (0UL, Array.Empty<byte>());
            switch (key & 7)
            {
                case 0:
                    number = Varint(message, ref at);
                    break;
                case 1:
                    number = BinaryPrimitives.ReadUInt64LittleEndian(message.AsSpan(at, 8));
                    at += 8;
                    break;
                case 5:
                    number = BinaryPrimitives.ReadUInt32LittleEndian(message.AsSpan(at, 4));
                    at += 4;
                    break;
                default:
                    var length = (int)Varint(message, ref at);
                    bytes = message[at..(at + length)];
                    at += length;
                    break;
            }

            yield return ((int)(key >> 3), number, bytes);
        }
    }

    private static ulong Varint(byte[] message, ref int at)
    {
        var (value, shift) = (0UL, 0);
        while (true)
        {
            var part = message[at++];
            value |= (ulong)(part & 0x7f) << shift;
            if (part < 0x80)
            {
                return value;
            }

            shift += 7;
        }
    }

    private static uint Masked(ReadOnlySpan<byte> data)
    {
        var crc = uint.MaxValue;
        foreach (var value in data)
        {
            crc ^= value;
            for (var bit = 0; bit < 8; bit++)
            {
                crc = (crc >> 1) ^ ((crc & 1) * 0x82F63B78u);
            }
        }

        crc = ~crc;
        return ((crc >> 15) | (crc << 17)) + 0xa282ead8u;
    }
}
