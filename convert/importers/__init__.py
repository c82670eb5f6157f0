"""Read foreign model files into eager PyTorch modules."""
