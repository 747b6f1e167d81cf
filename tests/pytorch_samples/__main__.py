"""Print the table of cases: ``python -m tests.pytorch_samples``."""

from tests.pytorch_samples.databases import everything
from tests.pytorch_samples.table import rows, text

if __name__ == "__main__":
    print(text({title: rows(samples) for title, samples in everything().items()}))
