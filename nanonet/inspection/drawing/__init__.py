"""The figure of a whole net.

columns decides what is shown, placing and matrix lay it out, net draws it, figure writes the SVG.
"""
