"""The messages and services of `erx.prescriptions.events.v2`. Generated; never edited."""
