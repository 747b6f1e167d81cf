"""Named arrays on disk.

Read disk first (paths, atomic writes), then stored_array (arrays that are read lazily), archive (.npz with a checksum)
and safetensors.
"""
