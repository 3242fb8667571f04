"""Which rule an operation has: those that take a U-Net's time a fast one, any other the general one."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional
from torch.utils._pytree import tree_leaves

from workflow_scripts.curvature.second_order.any_function import AnyFunction
from workflow_scripts.curvature.second_order.bilinear import Bilinear, Convolution
from workflow_scripts.curvature.second_order.elementwise import Elementwise
from workflow_scripts.curvature.second_order.group_norm import GroupNorm
from workflow_scripts.curvature.second_order.linear import Linear
from workflow_scripts.curvature.second_order.rule import Call, Rule
from workflow_scripts.curvature.second_order.softmax import Softmax

ACTIVATIONS = (functional.silu, functional.gelu)
# functions of (b, x, w) that are b plus a product of x and w
ADDED_PRODUCTS = {torch.addcmul: torch.mul, torch.baddbmm: torch.bmm}


def choose_rule(call: Call, active: Sequence[bool], adjoints: Sequence[Tensor]) -> Rule:
    """The rule of a call, `adjoints` being those of what it made.

    `active` says which of the tensors passed may move along the line; the others are constants. ValueError for a function
    that gives another result the second time.
    """
    function, args, kwargs = call.function, call.args, call.kwargs
    if Linear.is_for(call, all(active)):
        return Linear(call)
    if function is functional.group_norm:
        return GroupNorm(*args, **kwargs, adjoint=adjoints[0])
    if not any(isinstance(leaf, Tensor) for leaf in tree_leaves(kwargs)):
        if function is functional.conv2d:
            named = {name: value for name, value in kwargs.items() if name != "bias"}
            return Convolution(
                lambda x, w, b=None: functional.conv2d(x, w, b, *args[3:], **named),
                *(*args, None)[:3],
                call.made[0],
                adjoints[0],
            )
        if function in (functional.linear, torch.bmm):
            return Bilinear(function, *args[:2], adjoints[0])
        if function in ACTIVATIONS:
            return Elementwise(lambda x: function(x, *args[1:], **kwargs), args[0], adjoints[0])
        if function in (torch.softmax, Tensor.softmax) and len(args) + len(kwargs) == 2:
            return Softmax(call.made[0], adjoints[0], *args[1:], **kwargs)
        if function in ADDED_PRODUCTS and not kwargs:
            product = Bilinear(ADDED_PRODUCTS[function], *args[1:], adjoints[0])
            return lambda tangents: product([*tangents[1:], tangents[0]])
    return AnyFunction(call, active, adjoints)
