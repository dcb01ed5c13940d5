"""llemma: from a base language model to a mathematics model by continued pretraining."""

__version__ = "0.1.0"
