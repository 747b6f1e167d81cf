"""Snapshot: the buffers and generators of a model at one moment, to be put back."""

from __future__ import annotations

from nanonet.core.tree import Tree


class Snapshot:
    """The buffers and generators of a model at one moment, to be put back."""

    def __init__(self, tree: Tree) -> None:
        self._buffers = [(buffer, buffer.value.copy()) for buffer in tree.buffers.values()]
        self._states = [(bits, bits.state) for bits in (r.generator.bit_generator for r in tree.randoms.values())]

    def restore(self) -> None:
        """Put the numbers and the generators back."""
        for buffer, value in self._buffers:
            buffer.value = value
        for bits, state in self._states:
            bits.state = state
