"""Generated from `protos/erx/prescriptions`; never edited."""
