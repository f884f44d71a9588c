"""Generated from `protos/erx/eventlog`; never edited."""
