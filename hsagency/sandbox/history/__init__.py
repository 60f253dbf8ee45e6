"""Believable traffic of days gone by, and the stories in it."""
