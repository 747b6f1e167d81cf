"""Building, saving and loading models.

sequential has Sequential, the chain with the verbs fit, trace and summary; files has save, load and read_arrays;
architecture writes a model as constructor calls and rebuilds it from them, comparison compares the two.
"""
