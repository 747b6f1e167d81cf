"""Tables: data frames, series and tensors of other libraries as arrays; none of these libraries is imported for it."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from nanonet.core.arrays import Arrays
from nanonet.core.checks import conversions

Column = npt.NDArray[Any]
NUMPY = {"b": np.bool_, "i": np.int64, "u": np.uint64, "f": np.float64}  # by kind, for nullable columns


def as_array(data: Any, subject: str) -> Any:
    """Return data of another library as an array, anything else as it is.

    A missing value is NaN.

    Raises
    ------
    TypeError
        If a column is not numeric, or data is sparse; the message starts with ``subject``.
    """
    family = _family(data)
    return CONVERSIONS[family](data, subject) if family else data


conversions.append(as_array)


def is_table(data: Any) -> bool:
    """Return whether data is a frame or a series of pandas or polars."""
    return _family(data) in ("pandas", "polars")


def as_target(given: Any, target: Any, prediction: Arrays) -> Any:
    """Return a target of one column in the shape that a loss takes: that of one output, or of labels for several.

    Only what comes from a table, whose columns have no shape of their own, is reshaped.
    """
    if not is_table(given) or isinstance(prediction, tuple) or target.size != len(target):
        return target
    shape = prediction.shape[1:]
    return target.reshape(len(target), *(shape if math.prod(shape) == 1 else ()))


def refuse_reordered(x: Any, target: Any, kind: str = "") -> None:
    """Raise an error for frames of pandas with the rows of one index in two orders: rows go by place, not by index.

    Raises
    ------
    ValueError
        The message says how they come into one order.
    """
    one, other = (getattr(data, "index", None) if _family(data) == "pandas" else None for data in (x, target))
    if one is None or other is None or one.equals(other) or not (one.is_unique and other.is_unique):
        return
    if len(one) == len(other) and len(one.difference(other, sort=False)) == 0:
        raise ValueError(
            f"fit: {kind}x and target have the rows of one index in different orders; write target.loc[x.index], "
            "or target.to_numpy() if they belong together as they are"
        )


def _family(data: Any) -> str:
    """Return the library that a class, or one that it derives from, belongs to."""
    packages = (parent.__module__.partition(".")[0] for parent in type(data).__mro__)
    return next((package for package in packages if package in CONVERSIONS), "")


# ---- pandas and polars


def _of_pandas(data: Any, subject: str) -> Any:
    if getattr(data, "ndim", 0) != 2:
        return _one(data, _pandas_column(data), subject) if hasattr(data, "to_numpy") else data
    kinds = set(data.dtypes)
    if len(kinds) == 1 and isinstance(kinds.copy().pop(), np.dtype) and kinds.pop().kind in "biuf":
        return data.to_numpy()
    columns = {i: _pandas_column(data.iloc[:, i]) for i in range(data.shape[1])}
    strange = [f"{name!r} ({data.dtypes.iloc[i]})" for i, name in enumerate(data.columns) if columns[i] is None]
    return _side_by_side(list(columns.values()), strange, len(data), subject, "pandas.get_dummies(frame)")


def _pandas_column(series: Any) -> Column | None:
    """Return a series as an array, or None if it is not numeric."""
    kind = getattr(series.dtype, "kind", "O")
    if kind not in NUMPY:
        return None
    if isinstance(series.dtype, np.dtype):
        return np.asarray(series.to_numpy())
    if series.isna().any():
        return np.asarray(series.to_numpy(dtype=float, na_value=np.nan))
    return np.asarray(series.to_numpy(dtype=NUMPY[kind]))


def _of_polars(data: Any, subject: str) -> Any:
    if hasattr(data, "collect") and not hasattr(data, "to_numpy"):
        raise TypeError(f"{subject}: expected a table of numbers, got a {type(data).__name__}; write frame.collect()")
    if not hasattr(data, "get_columns"):
        return _one(data, _polars_column(data), subject) if hasattr(data, "to_numpy") else data
    series = data.get_columns()
    columns = [_polars_column(one) for one in series]
    strange = [f"{one.name!r} ({one.dtype})" for one, column in zip(series, columns, strict=True) if column is None]
    return _side_by_side(columns, strange, len(data), subject, "frame.to_dummies()")


def _polars_column(series: Any) -> Column | None:
    if str(series.dtype) == "Boolean" and series.null_count():
        return np.array([np.nan if entry is None else entry for entry in series.to_list()], float)
    return np.asarray(series.to_numpy()) if series.dtype.is_numeric() or str(series.dtype) == "Boolean" else None


def _one(series: Any, column: Column | None, subject: str) -> Column:
    if column is None:
        raise TypeError(
            f"{subject}: expected numbers, got a {type(series).__name__} of dtype {series.dtype}; "
            "for class labels give np.unique(series, return_inverse=True)[1]"
        )
    return column


def _side_by_side(columns: list[Column | None], strange: list[str], rows: int, subject: str, encoded: str) -> Column:
    if strange:
        several = "columns {} of the frame are" if len(strange) > 1 else "column {} of the frame is"
        raise TypeError(
            f"{subject}: {several.format(', '.join(strange))} not numeric; leave out what is no input, "
            f"and encode what is, as {encoded} does"
        )
    numeric = [column for column in columns if column is not None]
    return np.stack(numeric, axis=1) if numeric else np.empty((rows, 0))


# ---- PyTorch and SciPy


def _of_torch(data: Any, subject: str) -> Any:
    if not hasattr(data, "detach"):
        return data
    tensor = data.detach().cpu()
    return (tensor.float() if str(tensor.dtype) == "torch.bfloat16" else tensor).numpy()


def _of_scipy(data: Any, subject: str) -> Any:
    if not hasattr(data, "toarray"):
        return data
    name = subject.rpartition(": ")[2]
    raise TypeError(
        f"{subject}: expected an array, got a sparse {type(data).__name__}; "
        f"write {name if name.isidentifier() else 'x'}.toarray()"
    )


CONVERSIONS: dict[str, Callable[[Any, str], Any]] = {
    "pandas": _of_pandas,
    "polars": _of_polars,
    "torch": _of_torch,
    "scipy": _of_scipy,
}
