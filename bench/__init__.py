"""Measurements of what the kit produces, against each runtime's own exporter."""
