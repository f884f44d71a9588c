"""A deterministic world for the modules that ship: one seed gives one history, however often it is run.

The scheduler, the stores, the network and the clock are simulated; append, journal, outbox, relay, leases, sweep, command
handler and projector are the very modules that run in production. See ``docs/decisions/0013-simulation.md``.
"""
