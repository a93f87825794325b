"""Neural style transfer, and a look into what convolutional networks have learned."""

__version__ = "0.1.0"
