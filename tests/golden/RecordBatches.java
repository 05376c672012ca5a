import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.List;
import org.apache.kafka.common.compress.Compression;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.internals.RecordHeader;
import org.apache.kafka.common.record.DefaultRecordBatch;
import org.apache.kafka.common.record.MemoryRecords;
import org.apache.kafka.common.record.MemoryRecordsBuilder;
import org.apache.kafka.common.record.MutableRecordBatch;
import org.apache.kafka.common.record.Record;
import org.apache.kafka.common.record.RecordBatch;
import org.apache.kafka.common.record.TimestampType;
import org.apache.kafka.common.utils.Utils;

/**
 * Kafka's own opinion of record batches. Reads lines of tab-separated columns:
 *
 * <pre>
 * batch   producerId  epoch  baseSequence                     begins a batch; codec and level may follow
 * record  timestamp   key    value   name=value ...           adds a record to it
 * bytes   hex                                                 the same batch as written by someone else
 * </pre>
 *
 * Keys, values and the values of headers are hex, or "null". For each "bytes" it prints what Kafka reads in them, in the
 * same lines (with "invalid" for a batch that Kafka would refuse), then "bytes" with the batch as Kafka writes it.
 */
public final class RecordBatches {
    private static final HexFormat HEX = HexFormat.of();

    public static void main(String[] arguments) throws IOException {
        BufferedReader input = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        List<String[]> lines = new ArrayList<>();
        for (String line = input.readLine(); line != null; line = input.readLine()) {
            String[] columns = line.split("\t", -1);
            if (columns[0].equals("bytes")) {
                describe(ByteBuffer.wrap(HEX.parseHex(columns[1])));
                System.out.println("bytes\t" + HEX.formatHex(write(lines)));
                lines.clear();
            } else {
                lines.add(columns);
            }
        }
    }

    private static byte[] write(List<String[]> lines) {
        String[] origin = lines.get(0);
        MemoryRecordsBuilder builder = MemoryRecords.builder(
            ByteBuffer.allocate(1024),
            RecordBatch.CURRENT_MAGIC_VALUE,
            compression(origin),
            TimestampType.CREATE_TIME,
            0L,
            RecordBatch.NO_TIMESTAMP,
            Long.parseLong(origin[1]),
            Short.parseShort(origin[2]),
            Integer.parseInt(origin[3]),
            false,
            RecordBatch.NO_PARTITION_LEADER_EPOCH);
        for (String[] record : lines.subList(1, lines.size())) {
            Header[] headers = new Header[record.length - 4];
            for (int i = 0; i < headers.length; i++) {
                String[] header = record[4 + i].split("=", 2);
                headers[i] = new RecordHeader(header[0], bytes(header[1]));
            }
            builder.append(Long.parseLong(record[1]), bytes(record[2]), bytes(record[3]), headers);
        }
        return Utils.toArray(builder.build().buffer());
    }

    private static Compression compression(String[] origin) {
        String codec = origin.length > 4 ? origin[4] : "none";
        return switch (codec) {
            case "none" -> Compression.NONE;
            case "gzip" -> Compression.gzip().level(Integer.parseInt(origin[5])).build();
            case "snappy" -> Compression.snappy().build();
            case "lz4" -> Compression.lz4().level(Integer.parseInt(origin[5])).build();
            case "zstd" -> Compression.zstd().level(Integer.parseInt(origin[5])).build();
            default -> throw new IllegalArgumentException(codec);
        };
    }

    private static void describe(ByteBuffer bytes) {
        for (MutableRecordBatch batch : MemoryRecords.readableRecords(bytes).batches()) {
            boolean valid = ((DefaultRecordBatch) batch).isValid();
            System.out.printf("%s\t%d\t%d\t%d%n",
                valid ? "batch" : "invalid", batch.producerId(), batch.producerEpoch(), batch.baseSequence());
            for (Record record : batch) {
                StringBuilder line = new StringBuilder("record\t").append(record.timestamp());
                line.append('\t').append(hex(record.key())).append('\t').append(hex(record.value()));
                for (Header header : record.headers()) {
                    byte[] value = header.value();
                    line.append('\t').append(header.key()).append('=').append(hex(value == null ? null : ByteBuffer.wrap(value)));
                }
                System.out.println(line);
            }
        }
    }

    private static byte[] bytes(String column) {
        return column.equals("null") ? null : HEX.parseHex(column);
    }

    private static String hex(ByteBuffer bytes) {
        return bytes == null ? "null" : HEX.formatHex(Utils.toArray(bytes));
    }
}
