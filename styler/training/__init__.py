"""Distillation of the embedded extractor from a larger network, and its evaluation."""
