"""The messages and services of `erx.prescriptions.types.v1`. Generated; never edited."""
