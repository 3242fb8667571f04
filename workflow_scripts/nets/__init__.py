"""Noise-prediction networks: layers, the U-Net, the registry that builds one from settings, and the weight average."""
