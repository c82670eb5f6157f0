"""Graph passes over exported programs: one pass a file."""
