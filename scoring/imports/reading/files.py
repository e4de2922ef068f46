"""One piece of JSON from a file, packed or not."""

from cab.scoring.imports.reading.content import open_content
from cab.scoring.imports.reading.input_file import InputFile
from cab.scoring.imports.reading.lenient import parse_lenient


def load(source: InputFile) -> object:
    """Return what a file of JSON holds; the source notes what was lost of it.

    Raises:
        BadRecord: It cannot be read, is over the limit, or is not JSON.
    """
    with open_content(source.path) as content:
        return parse_lenient(content.whole(), source)
