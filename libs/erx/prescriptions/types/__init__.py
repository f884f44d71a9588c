"""Generated from `protos/erx/prescriptions/types`; never edited."""
