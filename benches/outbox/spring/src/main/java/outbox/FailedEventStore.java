package outbox;

import java.sql.Types;
import java.util.List;
import java.util.UUID;
import org.springframework.jdbc.core.JdbcTemplate;
import org.springframework.stereotype.Repository;

/** The table of events that could not be published. */
@Repository
public class FailedEventStore {
    private final JdbcTemplate jdbc;

    public FailedEventStore(JdbcTemplate jdbc) {
        this.jdbc = jdbc;
    }

    public record Row(long id, String topic, String key, byte[] payload) {}

    /** Each call is a transaction of its own: the event is on disk when it returns. */
    public void save(UUID eventId, String topic, String key, byte[] payload, Throwable cause) {
        jdbc.update(
            "INSERT INTO failed_kafka_events (event_id, topic, event_key, payload, last_error, next_retry_at)"
                + " VALUES (?, ?, ?, ?, ?, now())",
            eventId, topic, key, payload, cause.getMessage());
    }

    public List<Row> due(long after, int limit) {
        return jdbc.query(
            "SELECT id, topic, event_key, payload FROM failed_kafka_events"
                + " WHERE id > ? AND status = 'PENDING' AND next_retry_at <= now() ORDER BY id LIMIT ?",
            (row, number) -> new Row(row.getLong(1), row.getString(2), row.getString(3), row.getBytes(4)),
            after, limit);
    }

    public void resolved(List<Long> ids) {
        jdbc.update("DELETE FROM failed_kafka_events WHERE id = ANY (?)", statement ->
            statement.setArray(1, statement.getConnection().createArrayOf("bigint", ids.toArray())));
    }

    /** The waits are 1, 5, 15 and then 60 minutes. */
    public void failed(long id, Throwable cause) {
        jdbc.update(
            "UPDATE failed_kafka_events SET attempt_count = attempt_count + 1, last_error = ?, next_retry_at = now()"
                + " + (ARRAY[1, 5, 15, 60])[least(attempt_count + 1, 4)] * interval '1 minute' WHERE id = ?",
            new Object[] {cause.toString(), id}, new int[] {Types.VARCHAR, Types.BIGINT});
    }
}
