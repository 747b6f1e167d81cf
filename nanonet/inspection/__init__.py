"""How the numbers of a model are shown.

record keeps what one pass made, trace shows it; table and summary are text, html helps them in notebooks, plots draws
with matplotlib, rounding writes numbers for people; drawing makes the figure of the net, explanation the worked
calculation of one gradient.
"""
