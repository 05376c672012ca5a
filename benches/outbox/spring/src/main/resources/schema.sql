DROP TABLE IF EXISTS failed_kafka_events;
CREATE TABLE failed_kafka_events (
    id bigserial PRIMARY KEY,
    event_id uuid NOT NULL,
    topic text NOT NULL,
    event_key text,
    payload bytea NOT NULL,
    status text NOT NULL DEFAULT 'PENDING',
    attempt_count integer NOT NULL DEFAULT 0,
    last_error text,
    next_retry_at timestamptz NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);
