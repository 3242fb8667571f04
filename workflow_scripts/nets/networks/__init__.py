"""Networks that `model.name` can name: modules with an object of the module's name, called with (channels,
image_size, …), that gives a network. One for diffusion maps `(x [B, C, H, W], t [B] or [1])` to an array of
x's shape; other methods say what they ask of theirs.
"""
