"""Makes the toy problems beside it importable (``from toys import ...``)."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
