using System.Numerics;
using System.Text.Json;
using Parquet;
using Parquet.Data;
using Parquet.Schema;

namespace Reft.Internal;

/// <summary>A column of one row group: texts, numbers, truth values, lists of them, or lists of flat structures of them.</summary>
/// <param name="name">Its name.</param>
/// <param name="write">Writes a row's value as JSON.</param>
internal sealed class ParquetColumn(string name, Action<Utf8JsonWriter, int> write)
{
    public string Name => name;

    public void Write(Utf8JsonWriter json, int row) => write(json, row);

    /// <summary>What is stored of a column.</summary>
    public static IEnumerable<DataField> Leaves(Field field) =>
        field switch
        {
            DataField leaf => [leaf],
            ListField list => Leaves(list.Item),
            StructField structure => structure.Fields.SelectMany(Leaves),
            MapField map => [.. Leaves(map.Key), .. Leaves(map.Value)],
            _ => [],
        };

    /// <summary>Reads a column.</summary>
    /// <exception cref="InvalidDataException">It is of a kind that no row can use.</exception>
    public static ParquetColumn Read(string path, ParquetRowGroupReader group, Field field, int rows)
    {
        switch (field)
        {
            case DataField { MaxRepetitionLevel: 0 } leaf:
                var flat = new Leaf(path, group, leaf);
                CheckRows(path, field, flat.Count, rows);
                return new(field.Name, flat.Write);

            case DataField { MaxRepetitionLevel: 1 } repeated:
                return List(path, field, rows, repeated.MaxDefinitionLevel, [new Leaf(path, group, repeated)], structure: false);

            case ListField { Item: DataField { MaxRepetitionLevel: 1 } item } list:
                return List(path, field, rows, list.MaxDefinitionLevel, [new Leaf(path, group, item)], structure: false);

            case ListField { Item: StructField item } list when item.Fields.All(inner => inner is DataField { MaxRepetitionLevel: 1 }):
                return List(path, field, rows, list.MaxDefinitionLevel, [.. item.Fields.Select(inner => new Leaf(path, group, (DataField)inner))], structure: true);

            default:
                throw RowError.Of(
                    path, field.Name, $"the column is nested ({field.SchemaType}): expected texts, numbers, truth values, a list of them, or a list of flat structures such as messages");
        }
    }

    // The first level at which an element is there is the list's own; one below is an empty list, less is none.
    private static ParquetColumn List(string path, Field field, int rows, int present, Leaf[] leaves, bool structure)
    {
        var starts = leaves[0].Starts();
        CheckRows(path, field, starts.Length - 1, rows);
        if (leaves.Any(leaf => leaf.Count != leaves[0].Count))
        {
            throw RowError.Of(path, field.Name, "the fields of its structures differ in number: the file is damaged");
        }

        return new(field.Name, (json, row) =>
        {
            var (first, end) = (starts[row], starts[row + 1]);
            var level = leaves[0].LevelOf(first);
            if (level < present - 1)
            {
                json.WriteNullValue();
                return;
            }

            json.WriteStartArray();
            for (var i = level < present ? end : first; i < end; i++)
            {
                if (structure)
                {
                    json.WriteStartObject();
                }

                foreach (var leaf in leaves)
                {
                    if (structure)
                    {
                        json.WritePropertyName(leaf.Name);
                    }

                    leaf.Write(json, i);
                }

                if (structure)
                {
                    json.WriteEndObject();
                }
            }

            json.WriteEndArray();
        });
    }

    private static void CheckRows(string path, Field field, int found, int rows)
    {
        if (found != rows)
        {
            throw RowError.Of(path, field.Name, $"expected {rows} rows in the row group, found {found}: the file is damaged");
        }
    }

    // Values with their levels; a value that is not there is a null.
    private sealed class Leaf
    {
        private readonly Action<Utf8JsonWriter, int> _value;
        private readonly int[] _levels;
        private readonly int[] _values;
        private readonly int[] _repetitions;
        private readonly int _whole;

        public Leaf(string path, ParquetRowGroupReader group, DataField field)
        {
            using var data = group.ReadRawColumnDataBaseAsync(field).AsTask().GetAwaiter().GetResult();
            (_value, var count) = Values(path, field, data);
            Name = field.Name;
            _whole = field.MaxDefinitionLevel;
            _levels = _whole > 0 ? data.DefinitionLevels.ToArray() : [.. Enumerable.Repeat(0, count)];
            _repetitions = field.MaxRepetitionLevel > 0 ? data.RepetitionLevels.ToArray() : [];
            _values = new int[_levels.Length];
            var next = 0;
            for (var i = 0; i < _levels.Length; i++)
            {
                _values[i] = _levels[i] == _whole ? next++ : -1;
            }

            // The library leaves room for values that are not there, after those that are.
            if (next > count || (_repetitions.Length > 0 && _repetitions.Length != _levels.Length))
            {
                throw RowError.Of(path, field.Path.ToString(), $"expected {next} values, found {count}: the file is damaged");
            }
        }

        public string Name { get; }

        public int Count => _levels.Length;

        public int LevelOf(int entry) => _levels[entry];

        public void Write(Utf8JsonWriter json, int entry)
        {
            if (_values[entry] is >= 0 and var value)
            {
                _value(json, value);
            }
            else
            {
                json.WriteNullValue();
            }
        }

        // The first entry of each row, and the end.
        public int[] Starts() => [.. Enumerable.Range(0, _repetitions.Length).Where(i => _repetitions[i] == 0), _repetitions.Length];

        private static (Action<Utf8JsonWriter, int> Write, int Count) Values(string path, DataField field, RawColumnData data)
        {
            return data switch
            {
                RawColumnData<ReadOnlyMemory<char>> texts => Texts(texts),
                RawColumnData<int> numbers => Of(numbers, (json, value) => json.WriteNumberValue(value)),
                RawColumnData<long> numbers => Of(numbers, (json, value) => json.WriteNumberValue(value)),
                RawColumnData<short> numbers => Of(numbers, (json, value) => json.WriteNumberValue(value)),
                RawColumnData<sbyte> numbers => Of(numbers, (json, value) => json.WriteNumberValue(value)),
                RawColumnData<byte> numbers => Of(numbers, (json, value) => json.WriteNumberValue(value)),
                RawColumnData<ushort> numbers => Of(numbers, (json, value) => json.WriteNumberValue(value)),
                RawColumnData<uint> numbers => Of(numbers, (json, value) => json.WriteNumberValue(value)),
                RawColumnData<ulong> numbers => Of(numbers, (json, value) => json.WriteNumberValue(value)),
                RawColumnData<decimal> numbers => Of(numbers, (json, value) => json.WriteNumberValue(value)),
                RawColumnData<float> numbers => Of(numbers, WriteReal),
                RawColumnData<double> numbers => Of(numbers, WriteReal),
                RawColumnData<bool> flags => Of(flags, (json, value) => json.WriteBooleanValue(value)),
                _ => throw RowError.Of(
                    path, field.Path.ToString(), $"the column holds values of the type {field.ClrType.Name}: expected texts, numbers or truth values"),
            };
        }

        // Copied out of the library's pooled memory.
        private static (Action<Utf8JsonWriter, int> Write, int Count) Of<T>(RawColumnData<T> data, Action<Utf8JsonWriter, T> write)
            where T : struct
        {
            var values = data.Values.ToArray();
            return ((json, i) => write(json, values[i]), values.Length);
        }

        private static (Action<Utf8JsonWriter, int> Write, int Count) Texts(RawColumnData<ReadOnlyMemory<char>> data)
        {
            string[] values = [.. data.Values.ToArray().Select(text => text.ToString())];
            return ((json, i) => json.WriteStringValue(values[i]), values.Length);
        }

        // JSON has no word for what is not a number; as a text it is refused where a number is expected.
        private static void WriteReal<T>(Utf8JsonWriter json, T value)
            where T : struct, IFloatingPoint<T>
        {
            var number = double.CreateChecked(value);
            if (double.IsFinite(number))
            {
                json.WriteNumberValue(number);
            }
            else
            {
                json.WriteStringValue(number.ToString(System.Globalization.CultureInfo.InvariantCulture));
            }
        }
    }
}
