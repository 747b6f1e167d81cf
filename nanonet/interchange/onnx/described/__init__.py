"""What several operators compute together, found by describing each value on the way.

arrangement is where the entries of a value stand, moves the operators that move them.
search describes values on demand. attention and recurrence are searches: values has what an attention consists of,
products and masks the operators that make it.
"""
