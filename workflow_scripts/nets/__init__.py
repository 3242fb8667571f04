"""Networks: the U-Net and its layers, how it computes, and its weights and their average."""
