"""Measure latency: a protocol, its statistics and the devices."""
