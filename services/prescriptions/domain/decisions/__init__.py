"""The handlers of the transition table, by theme: one function per command, from state, command and facts to its event.

A handler is called only in a status that has a cell for its command, and raises a named refusal where a guard fails.
"""
