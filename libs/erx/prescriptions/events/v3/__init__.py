"""The messages and services of `erx.prescriptions.events.v3`. Generated; never edited."""
