"""The kernel's ports on SQLite: journal, bus and views as three files that several processes may share."""
