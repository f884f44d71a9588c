package main

// The contracts whose events this program can read: an import registers every message of its package by its full name.
import (
	_ "erx.example/clients/gen/erx/prescriptions/events/v1"
	_ "erx.example/clients/gen/erx/prescriptions/events/v2"
	_ "erx.example/clients/gen/erx/prescriptions/events/v3"
)
