"""What end-to-end tests stand on: the program as child processes, and callers of its servers."""
