"""How named arrays stand on a disk.

Read disk first (files that are whole or not there), then archive (.npz with its seal), stored (arrays that are read
when they are asked for), npz and safetensors.
"""
