"""librdkafka's error codes that this package tells apart, by what they mean to it."""

# ruff: noqa: SLF001 - the codes that librdkafka makes itself begin with an underscore

from confluent_kafka import KafkaError

# Waiting does not mend these: no right, wrong credentials, a topic that cannot be, brokers too old.
MISMATCHES = frozenset(
    {
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.GROUP_AUTHORIZATION_FAILED,
        KafkaError.CLUSTER_AUTHORIZATION_FAILED,
        KafkaError.SASL_AUTHENTICATION_FAILED,
        KafkaError.UNSUPPORTED_SASL_MECHANISM,
        KafkaError.UNSUPPORTED_VERSION,
        KafkaError.TOPIC_EXCEPTION,
        KafkaError.INVALID_PARTITIONS,
        KafkaError.INVALID_REPLICATION_FACTOR,
        KafkaError.INVALID_CONFIG,
        KafkaError.POLICY_VIOLATION,
        KafkaError._AUTHENTICATION,
        KafkaError._SSL,
        KafkaError._UNSUPPORTED_FEATURE,
        KafkaError._INVALID_ARG,
    }
)
# The group went on without this member, or took the partitions away: whoever has them now commits.
LOST = frozenset(
    {
        KafkaError.STALE_MEMBER_EPOCH,
        KafkaError.FENCED_MEMBER_EPOCH,
        KafkaError.UNKNOWN_MEMBER_ID,
        KafkaError.ILLEGAL_GENERATION,
        KafkaError.REBALANCE_IN_PROGRESS,
        KafkaError._NO_OFFSET,
        KafkaError._ASSIGNMENT_LOST,
    }
)
PARTITION_EOF = KafkaError._PARTITION_EOF
ALL_AWAY = KafkaError._ALL_BROKERS_DOWN
# Told to a consumer beside its records; the client goes on by itself.
PASSING = frozenset({PARTITION_EOF, KafkaError._MAX_POLL_EXCEEDED, KafkaError._TRANSPORT})
# A partition that was assigned and is not read yet cannot be sought in: it will begin at the committed offset by itself.
NOT_BEGUN = KafkaError._STATE
# Asked of a broker that is not, or does not know that it is, the leader: what the client knows of leaders is out of date.
STALE_LEADER = frozenset(
    {
        KafkaError.FENCED_LEADER_EPOCH,
        KafkaError.UNKNOWN_LEADER_EPOCH,
        KafkaError.NOT_LEADER_FOR_PARTITION,
        KafkaError.LEADER_NOT_AVAILABLE,
    }
)
PURGED = frozenset({KafkaError._PURGE_QUEUE, KafkaError._PURGE_INFLIGHT})
NO_GROUP = frozenset({KafkaError.GROUP_ID_NOT_FOUND, KafkaError.UNKNOWN_MEMBER_ID})
TOPIC_EXISTS = KafkaError.TOPIC_ALREADY_EXISTS
