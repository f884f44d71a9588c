"""The kernel's ports in memory: the shortest complete adapters, for tests, simulations and as the ones to read first."""
