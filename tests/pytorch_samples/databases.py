"""The data bases of PyTorch's own tests, read as samples."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tests.pytorch_samples.samples import Sample, options_of

LOSSES = ("loss", "entropy", "kl_div")  # what the names of the functions that are losses have in them


def module_samples() -> Iterator[Sample]:
    """Yield the samples of all modules."""
    import torch
    from torch.testing._internal.common_modules import module_db

    settings = {"device": "cpu", "dtype": torch.float64, "requires_grad": True, "training": True}
    for entry in module_db:
        for found in entry.module_inputs_func(entry, **settings):
            made, passed = found.constructor_input, found.forward_input
            options = options_of(entry.module_cls, made.args, made.kwargs)
            given = (made.args, made.kwargs)
            yield Sample(entry.name, entry.module_cls, options, given, tuple(passed.args), passed.kwargs)


def function_samples() -> Iterator[Sample]:
    """Yield the samples of all losses in torch.nn.functional."""
    import torch
    from torch.testing._internal.common_methods_invocations import op_db

    entry: Any
    for entry in op_db:
        if not (entry.name.startswith("nn.functional.") and any(word in entry.name for word in LOSSES)):
            continue
        for found in entry.sample_inputs("cpu", torch.float64, requires_grad=True):
            called = getattr(torch.nn.functional, entry.name.rpartition(".")[2])
            arguments = (found.input, *found.args)
            options = options_of(called, arguments, found.kwargs)
            yield Sample(entry.name, called, options, (arguments, found.kwargs))


def optimizer_samples() -> Iterator[Sample]:
    """Yield the samples of all optimizers."""
    from torch.testing._internal.common_optimizers import optim_db

    for entry in optim_db:
        for found in entry.optim_inputs_func(device="cpu"):
            options = options_of(entry.optim_cls, (None,), found.kwargs)
            yield Sample(f"optim.{entry.name}", entry.optim_cls, options, ((), found.kwargs))


def everything() -> dict[str, list[Any]]:
    """Return the samples of each data base, drawn with one seed."""
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return {
            "Modules": [*module_samples()],
            "Losses in torch.nn.functional": [*function_samples()],
            "Optimizers": [*optimizer_samples()],
        }
