"""Tools of the developer: tests, checks, generated code, locks. Reached as `./erx test`, `./erx lint`, `./erx gen`."""
