"""What one operation y = f(x) of a loss adds to the loss's second derivative along a line, a rule for each kind of f.

Along a line in the parameters, x' is the derivative of what the operation takes and y' = Df(x) x' that of what it makes.
With a the adjoint of y (the loss's derivative with respect to it) its own share of the loss's second derivative is
< a, D^2 f(x) [x', x'] >.
"""
