"""What a model is, where it runs and how it is measured."""
