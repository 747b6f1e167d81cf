"""What people build and keep.

sequential holds Sequential, the chain with the verbs fit, trace and summary; files has save, load and read_arrays;
architecture writes a model as constructor calls and makes it anew, likeness compares the two.
"""
