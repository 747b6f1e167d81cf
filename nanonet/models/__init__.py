"""Building, saving and loading models.

sequential has Sequential, the chain with the verbs fit, trace and summary; derivatives has its Jacobians, which
per_sample computes; least_squares fits a model by the equations of residuals; files has save, load and read_arrays;
architecture writes a model as constructor calls and rebuilds it from them, comparison compares the two; loading takes
the numbers of another model. advice and words say what to type instead: of an input of a wrong shape, of what other
libraries have.
"""
