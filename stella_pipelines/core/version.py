"""The version of this code. A test keeps it equal to the package's; the package's own metadata is not there in a plain source tree."""

from typing import Final

VERSION: Final = "0.1.0"
