"""The shared body: MobileNet v1, its layers, conventions, costs and weights."""
