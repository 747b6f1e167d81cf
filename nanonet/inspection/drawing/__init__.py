"""The figure of a whole net.

columns decides what is shown, measures and matrix lay it out, net draws it, figure writes the SVG.
"""
