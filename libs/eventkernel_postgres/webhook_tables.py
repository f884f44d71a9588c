"""The tables of webhooks, as numbered migrations of a schema of their own, and every statement on them.

Added at the end and never edited. Not in the schema of the views: that one may be dropped and filled again from the log.
"""

from typing import Final

from eventkernel_postgres.migrations import Migrations

WEBHOOK_MIGRATIONS: Final[Migrations] = (
    (
        """
        CREATE TABLE subscriptions (
            id TEXT COLLATE "C" PRIMARY KEY,
            tenant TEXT COLLATE "C" NOT NULL,
            version BIGINT NOT NULL,
            body TEXT NOT NULL,
            positions TEXT NOT NULL,
            paused_until TIMESTAMPTZ
        )
        """,
        """
        CREATE TABLE deliveries (
            subscription TEXT COLLATE "C" NOT NULL,
            stream TEXT COLLATE "C" NOT NULL,
            version BIGINT NOT NULL,
            tenant TEXT COLLATE "C" NOT NULL,
            event_id BYTEA NOT NULL,
            event_type TEXT COLLATE "C" NOT NULL,
            failed_attempts BIGINT NOT NULL,
            due_at TIMESTAMPTZ,
            parked BOOLEAN NOT NULL,
            last_error TEXT NOT NULL,
            PRIMARY KEY (subscription, stream, version)
        )
        """,
        "CREATE INDEX deliveries_due ON deliveries (subscription, due_at) WHERE due_at IS NOT NULL",
        "CREATE INDEX deliveries_parked ON deliveries (subscription, stream, version) WHERE parked",
        """
        CREATE TABLE attempts (
            number BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
            subscription TEXT COLLATE "C" NOT NULL,
            stream TEXT COLLATE "C" NOT NULL,
            version BIGINT NOT NULL,
            event_id BYTEA NOT NULL,
            event_type TEXT COLLATE "C" NOT NULL,
            at TIMESTAMPTZ NOT NULL,
            attempt BIGINT NOT NULL,
            http_status BIGINT NOT NULL,
            error TEXT NOT NULL
        )
        """,
        "CREATE INDEX attempts_of ON attempts (subscription, number)",
    ),
)

INSERT_SUBSCRIPTION = (
    "INSERT INTO subscriptions (id, tenant, version, body, positions) VALUES (%s, %s, 1, %s, %s)"
    " ON CONFLICT (id) DO NOTHING RETURNING id"
)
SELECT_SUBSCRIPTION = "SELECT tenant, id, version, body FROM subscriptions WHERE id = %s AND tenant = %s"
SELECT_SUBSCRIPTIONS = (
    "SELECT tenant, id, version, body FROM subscriptions WHERE id > %s AND (%s::text IS NULL OR tenant = %s)"
    " ORDER BY id LIMIT %s"
)
UPDATE_SUBSCRIPTION = """
    UPDATE subscriptions SET body = %s, version = version + 1 WHERE id = %s AND tenant = %s AND version = %s RETURNING id
"""
DELETE_SUBSCRIPTION = "DELETE FROM subscriptions WHERE id = %s AND tenant = %s RETURNING id"
DELETE_DELIVERIES = "DELETE FROM deliveries WHERE subscription = %s"
DELETE_ATTEMPTS = "DELETE FROM attempts WHERE subscription = %s"
LOCK_SUBSCRIPTION = "SELECT positions, paused_until FROM subscriptions WHERE id = %s FOR UPDATE"
SELECT_POSITIONS = "SELECT positions FROM subscriptions WHERE id = %s"
MOVE_POSITIONS = "UPDATE subscriptions SET positions = %s WHERE id = %s"
PAUSE = "UPDATE subscriptions SET paused_until = %s WHERE id = %s"

SELECT_LANES = (
    "SELECT stream, bool_or(parked) FROM deliveries WHERE subscription = %s AND stream = ANY(%s) GROUP BY stream"
)
INSERT_DELIVERIES = (
    "INSERT INTO deliveries (subscription, stream, version, tenant, event_id, event_type, failed_attempts, due_at, parked,"
    " last_error) SELECT * FROM unnest(%b::text[], %b::text[], %b::int8[], %b::text[], %b::bytea[], %b::text[], %b::int8[],"
    " %b::timestamptz[], %b::bool[], %b::text[]) ON CONFLICT (subscription, stream, version) DO NOTHING"
)
_COLUMNS = "subscription, tenant, stream, version, event_id, event_type, failed_attempts, due_at, parked, last_error"
IS_ANY_DUE = (
    "SELECT 1 FROM deliveries d JOIN subscriptions s ON s.id = d.subscription WHERE d.subscription = %s AND d.due_at <= %s"
    " AND (s.paused_until IS NULL OR s.paused_until <= %s) LIMIT 1"
)
LEASE_DUE = f"""
    UPDATE deliveries SET due_at = %s WHERE (subscription, stream, version) IN (
        SELECT subscription, stream, version FROM deliveries WHERE subscription = %s AND due_at <= %s
        ORDER BY due_at, stream LIMIT %s
    ) RETURNING {_COLUMNS}
"""  # noqa: S608 - columns of this module
SELECT_LEASE = "SELECT due_at FROM deliveries WHERE subscription = %s AND stream = %s AND version = %s"
DELETE_DELIVERY = "DELETE FROM deliveries WHERE subscription = %s AND stream = %s AND version = %s"
HEADS_DUE = """
    UPDATE deliveries d SET due_at = %s WHERE d.subscription = %s AND d.stream = ANY(%s) AND NOT d.parked AND d.version =
        (SELECT min(o.version) FROM deliveries o WHERE o.subscription = d.subscription AND o.stream = d.stream)
"""
FAIL_DELIVERY = (
    "UPDATE deliveries SET due_at = %s, failed_attempts = failed_attempts + 1, last_error = %s"
    " WHERE subscription = %s AND stream = %s AND version = %s"
)
PARK_LANE = "UPDATE deliveries SET parked = TRUE, due_at = NULL WHERE subscription = %s AND stream = %s"
INSERT_ATTEMPT = (
    "INSERT INTO attempts (subscription, stream, version, event_id, event_type, at, attempt, http_status, error)"
    " VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s)"
)
PRUNE_ATTEMPTS = """
    DELETE FROM attempts WHERE subscription = %s AND number <=
        (SELECT number FROM attempts WHERE subscription = %s ORDER BY number DESC LIMIT 1 OFFSET %s)
"""
SELECT_COUNTS = (
    "SELECT count(*) FILTER (WHERE NOT parked), count(*) FILTER (WHERE parked) FROM deliveries WHERE subscription = %s"
)
SELECT_DELIVERIES = f"""
    SELECT {_COLUMNS} FROM deliveries WHERE subscription = %s AND parked = %s AND (stream, version) > (%s, %s)
    ORDER BY stream, version LIMIT %s
"""  # noqa: S608 - columns of this module
UNPARK = (
    "UPDATE deliveries SET parked = FALSE, failed_attempts = 0"
    " WHERE subscription = %s AND parked AND (%s::text IS NULL OR stream = %s) RETURNING stream"
)
DROP_PARKED = (
    "DELETE FROM deliveries WHERE subscription = %s AND stream = %s AND parked AND version <= %s RETURNING version"
)
SELECT_ATTEMPTS = (
    "SELECT stream, version, event_id, event_type, at, attempt, http_status, error FROM attempts WHERE subscription = %s"
    " ORDER BY number DESC LIMIT %s"
)
