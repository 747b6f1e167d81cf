"""Inspecting a model.

record holds the values of one pass, trace displays them; table and summary produce text, html helps with notebooks,
plots and units draw with matplotlib, rounding formats numbers, shortening selects those that are shown; drawing makes
the figure of the net, explanation the worked calculation of one gradient, replay_page a page of a whole training.
"""
