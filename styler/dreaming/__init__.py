"""The pieces of DeepDream: what is excited, its gradient, octaves, and the zoom."""
