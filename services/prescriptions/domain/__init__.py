"""The rules of prescriptions, pure: commands and facts in, one event or a named refusal out.

Read ``states`` and ``table`` first; ``decider.PRESCRIPTION`` is what everything else uses.
"""
