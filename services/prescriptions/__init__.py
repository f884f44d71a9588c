"""The Prescriptions context: from a draft to the last refill, told as events."""
