"""Generated from `protos/erx/prescriptions/events`; never edited."""
