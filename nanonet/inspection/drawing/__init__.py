"""The figure of a whole net.

draws holds what layer classes state; columns decides what is shown, measures, matrix, picture and maps lay it out, net
draws it, description puts it into words, figure writes the SVG.
"""
