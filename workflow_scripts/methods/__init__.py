"""Methods: what is trained, one module each, loaded by the name in `method.name` (core/registry.py).

A method is a class, called with the settings {seed, data, model, diffusion, loss, training} and, as keywords,
the other keys of the section `method`. It has

- `SAMPLERS`, a tuple of the samplers of the points that its runs can generate at, read without importing it;
- `columns`, the names of the scalars that an update logs; `loss` and `grad_norm` must be among them;
- `asks`, which arrays of the training data an update needs: `images`, `labels`, `condition`;
- `networks()`, the networks by name, the one that generates first, with weights from torch's generator;
- `adam`, arguments of Adam by network that differ from {lr: training.learning_rate};
- `draw(step)`, the random tensors on the CPU of the update that follows `step` updates, by name;
- `updater(state)`, a function of a batch: named tensors on the device, those drawn and the chosen entries of
  the data. It does one update of `state` (training/step.py) without waiting for the device, so that a GPU can
  record it, and returns the scalars, float32 [len(columns)].

One without training has `TRAINED = False`, `SAMPLERS = ("direct",)`, `asks` and only `present(data)`:
of the test set's arrays that it asks for, by name, images u8 [N, H, W, C], number i for test image i.
"""
