"""From a checkpoint to a program to an artifact."""
