"""Networks that `model.name` can name: modules with an object of the module's name, called with (channels,
image_size, …), that gives a network mapping `(x [B, C, H, W], t [B] or [1])` to an array of x's shape.
"""
