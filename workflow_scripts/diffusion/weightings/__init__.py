"""Loss weightings, one module each: `weighting(snr [T], prediction_type, ...) -> weights [T]`. numpy only.

Weights multiply each sample's MSE in the model's own prediction space. Parameters after the first two come
from the settings section `loss`: a weighting that takes `gamma` needs `min_snr_gamma`.
"""
