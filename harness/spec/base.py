"""What all of these data have in common."""

import msgspec

SCHEMA = 1
"""Version of the job, result and measurement formats; a reader refuses what it does not know."""


class Frozen(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of all data here: immutable, keyword-only, strict about unknown fields."""
