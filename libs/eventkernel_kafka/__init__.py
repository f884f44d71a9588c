"""The bus on Apache Kafka 4. Needs the extra ``kafka`` (confluent-kafka 2.16 or newer)."""
