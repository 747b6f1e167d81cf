"""The figure of a whole net.

columns says what stands where, placing and matrix how, net draws it, figure is the SVG.
"""
