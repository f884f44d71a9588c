"""Event-sourced aggregates, their stores and their read models: the pure core, the ports and the runtime.

Three rings, each importing only inwards: the modules of this package (pure: no I/O, no clock, no randomness), ``ports``
(Protocols in the core's types) and ``runtime`` (asyncio components above ports). ``testing`` holds what tests of deciders,
views and adapters need. The package uses the standard library alone; drivers live in the ``eventkernel_*`` packages.
"""
