"""What schemathesis cannot know: how NDJSON is written, and a rule that OpenAPI cannot say."""

import schemathesis


@schemathesis.serializer("application/x-ndjson")
def ndjson(ctx, value):
    return value if isinstance(value, bytes) else str(value).encode(errors="replace")


@schemathesis.hook
def filter_case(ctx, case):
    """Idempotency-Key is for one record: the gateway refuses it on a batch or a stream, whose schemas say nothing of headers."""
    if case.operation.label != "POST /api/v1/topics/{topic}/records":
        return True
    has_key = "idempotency-key" in {name.lower() for name in case.headers or {}}
    is_one = not isinstance(case.body, list) and case.media_type != "application/x-ndjson"
    return is_one or not has_key
