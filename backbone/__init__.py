"""The shared body: MobileNet v1, its layers, conventions, costs and weights."""

__version__ = "0.1.0"
