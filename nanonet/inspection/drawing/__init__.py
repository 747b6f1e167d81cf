"""The figure of a whole net.

columns decides what is shown, measures, placing and matrix lay it out, net draws it, figure writes the SVG.
"""
