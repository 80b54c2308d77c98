"""How docstrings become pages: what is laid out in them by hand keeps its layout."""

import re
from typing import Any

from griffe import Extension, Object

_TABLE = re.compile(r"^=+(?: +=+)+\n.*?^=+(?: +=+)+$(?!\n\S)", re.DOTALL | re.MULTILINE)
_FORMULA = re.compile(r"^\.\. math::[ \n]*(.*?)(?=\n\n|\Z)", re.DOTALL | re.MULTILINE)
_ROLE = re.compile(r":\w+:(?=`)")


class ByHand(Extension):
    """Show tables and formulas as they stand in the source."""

    def on_object(self, *, obj: Object, **_: Any) -> None:
        """Rewrite the docstring of one object."""
        if obj.docstring is not None:
            text = _TABLE.sub(r"```\n\g<0>\n```", obj.docstring.value)
            text = _FORMULA.sub(r"```\n\1\n```", text)
            obj.docstring.value = _ROLE.sub("", text)
