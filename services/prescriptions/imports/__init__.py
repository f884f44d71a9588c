"""Imports: a driving adapter that turns files into plans of commands and sends them to the command service.

Read ``plan`` for what a plan is, ``synthea_plan`` and ``fhir_plan`` for how one is made, ``imports`` for the two entry points.
"""
