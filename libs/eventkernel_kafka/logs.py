"""librdkafka's own log lines, which would go to standard error otherwise."""

import logging

client_log = logging.getLogger("eventkernel_kafka.client")
