import java.util.HexFormat;
import java.util.Random;
import org.apache.kafka.common.utils.Utils;

/** Prints random keys of every length from 0 to 64 and how Kafka hashes them: key in hex, murmur2, made positive. */
public final class KeyHashes {
    private static final int LONGEST = 64;
    private static final int KEYS_PER_LENGTH = 20;

    public static void main(String[] arguments) {
        // A fixed seed: a key that once failed fails again.
        Random random = new Random(20260101);
        for (int length = 0; length <= LONGEST; length++) {
            for (int i = 0; i < KEYS_PER_LENGTH; i++) {
                byte[] key = new byte[length];
                random.nextBytes(key);
                int hash = Utils.murmur2(key);
                System.out.printf("%s\t%d\t%d%n", HexFormat.of().formatHex(key), hash, Utils.toPositive(hash));
            }
        }
    }
}
