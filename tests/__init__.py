"""What must be true of nanonet; the folders mirror those of the package."""

from pathlib import Path

ROOT = Path(__file__).parents[1]
