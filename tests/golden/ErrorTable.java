import org.apache.kafka.common.errors.InvalidMetadataException;
import org.apache.kafka.common.errors.RetriableException;
import org.apache.kafka.common.protocol.Errors;

/** Prints every error code of the Kafka on the class path: code, name, retriable, refreshes metadata, class, message. */
public final class ErrorTable {
    public static void main(String[] arguments) {
        for (Errors error : Errors.values()) {
            Exception exception = error.exception();
            System.out.printf("%d\t%s\t%b\t%b\t%s\t%s%n",
                error.code(),
                error.name(),
                exception instanceof RetriableException,
                exception instanceof InvalidMetadataException,
                error == Errors.NONE ? "" : exception.getClass().getName(),
                error == Errors.NONE ? "" : error.message());
        }
    }
}
