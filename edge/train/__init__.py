"""Training on top of what is there: weights that survive 8 bits, learnt from the float model itself."""
