"""The figure of a net: what stands where in it, and how it becomes SVG, PNG or PDF."""
