"""Building, saving and loading models.

sequential has Sequential, the chain with the verbs fit, trace and summary; derivatives has its Jacobians, which
per_sample computes; least_squares fits a model by the equations of residuals. sampling and ensemble say how sure a
model is, and side_by_side trains several at once. files has save, load and read_arrays; architecture writes a model as
constructor calls and rebuilds it from them, comparison compares the two; loading takes the numbers of another model;
seeding says where chains draw their weights from. advice and words say what to type instead: of an input of a wrong
shape, of what other libraries have.
"""
