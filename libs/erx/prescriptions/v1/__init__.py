"""The messages and services of `erx.prescriptions.v1`. Generated; never edited."""
