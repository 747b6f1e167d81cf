"""Named arrays on disk.

Read disk first (atomic writes), then archive (.npz with a checksum), stored (arrays that are read lazily), npz and
safetensors.
"""
