"""The loss's second derivatives at a checkpoint: Hessian-vector products, trace and top eigenvalue."""
