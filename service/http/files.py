"""The headers of a file that browsers save rather than show, under any name."""

from typing import Final
from urllib.parse import quote

from aiohttp import hdrs

ANY_BYTES: Final = "application/octet-stream"


def attached(name: str, content_type: str = ANY_BYTES) -> dict[str, str]:
    """Return the headers of a file to be saved under that name (RFC 6266)."""
    ascii_name = "".join(one if one.isascii() and one.isprintable() and one not in '"\\' else "_" for one in name)
    disposition = f'attachment; filename="{ascii_name}"'
    if ascii_name != name:
        disposition += f"; filename*=UTF-8''{quote(name, safe='', errors='replace')}"
    return {hdrs.CONTENT_TYPE: content_type, hdrs.CONTENT_DISPOSITION: disposition}
