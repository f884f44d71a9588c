"""The kernel at work: command handler, relay, projector and process runner, asyncio over ports, no driver."""
