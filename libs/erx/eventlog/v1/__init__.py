"""The messages and services of `erx.eventlog.v1`. Generated; never edited."""
