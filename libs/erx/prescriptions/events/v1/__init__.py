"""The messages and services of `erx.prescriptions.events.v1`. Generated; never edited."""
