"""Between the domain's objects and protobuf: events as stored, requests as received, replies as sent."""
