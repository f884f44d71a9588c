"""The journal on Cassandra: event store, outbox, leases, directory and snapshots above one small session port."""
