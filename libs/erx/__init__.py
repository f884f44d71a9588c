"""Generated from `protos/erx`; never edited."""
