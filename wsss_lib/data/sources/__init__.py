"""Readers of what people bring, one a format, and the writer that makes the one layout of it; no torch."""
