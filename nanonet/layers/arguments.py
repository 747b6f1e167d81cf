"""What layers make of their arguments: flags, and parameters whose errors name the layer that they are for."""

from __future__ import annotations

from typing import Literal

import numpy as np

from nanonet.core.arrays import Shape
from nanonet.core.errors import ShapeError
from nanonet.core.parameter import Init, Parameter
from nanonet.layers.initializers import Constant, Zeros


def true_or_false(value: object, subject: str, name: str) -> bool:
    """Return value as a bool."""
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{subject}: expected {name} as True or False, got {value!r:.60}")
    return bool(value)


def parameter(label: str, shape: Shape, init: Init, order: Literal["C", "F"] = "C") -> Parameter:
    """Return a Parameter; errors about its initial values begin with a label, such as "Linear(2, 3).weight"."""
    try:
        return Parameter(shape, init, order=order)
    except (ShapeError, TypeError, ValueError) as error:
        raise type(error)(str(error).replace("Parameter", label, 1)) from None


def bias_parameter(label: str, features: int, bias: Init | bool) -> Parameter | None:
    """Return a bias, one number for each feature; True: zeros; False: None."""
    return None if bias is False else parameter(label, (features,), Zeros() if bias is True else bias)


def affine_parameters(features: int, affine: bool) -> tuple[Parameter | None, Parameter | None]:
    """Return the weight and the bias of a norm, one number for each feature; None without them."""
    if not affine:
        return None, None
    return Parameter((features,), Constant(1.0)), Parameter((features,), Zeros())
