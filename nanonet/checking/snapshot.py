"""Snapshot: saves and restores the buffers and generators of a model."""

from __future__ import annotations

from nanonet.core.tree import Tree


class Snapshot:
    """A copy of the buffers and generator states of a model, which can be restored."""

    def __init__(self, tree: Tree) -> None:
        self._buffers = [(buffer, buffer.value.copy()) for buffer in tree.buffers.values()]
        self._states = [(bits, bits.state) for bits in (r.generator.bit_generator for r in tree.randoms.values())]

    def restore(self) -> None:
        """Restore the buffers and generators."""
        for buffer, value in self._buffers:
            buffer.value = value
        for bits, state in self._states:
            bits.state = state
