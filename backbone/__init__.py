"""The shared trunk: MobileNet v1, its layers, its flavours, its costs and its weights."""

__version__ = "0.1.0"
