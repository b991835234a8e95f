"""Secrets are refused as parameters: what is a parameter is written into results, logs and reports."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Any

__all__ = ["refuse_secrets"]

_WORDS = {
    *("token", "password", "passwd", "passphrase", "pwd", "secret", "secrets", "credential", "credentials"),
    *("apikey", "auth"),
}
_PAIRS = {("api", "key"), ("access", "key"), ("private", "key"), ("signing", "key"), ("pass", "word")}
_VALUES = re.compile(
    r"""\bhf_[A-Za-z0-9]{20,} | \bsk-[A-Za-z0-9_-]{20,} | \bgh[pousr]_[A-Za-z0-9]{30,} | \bgithub_pat_\w{20,}
    | \bglpat-[\w-]{20,} | \bA[KS]IA[0-9A-Z]{16}\b | \bAIza[\w-]{35} | \bxox[abprs]-[\w-]{10,}
    | \beyJ[\w-]{8,}\.eyJ[\w-]{8,}\. | -----BEGIN\ [A-Z\ ]*PRIVATE\ KEY | \bBearer\ +[\w.~+/-]{16,}
    | ://[^/\s:@]+:[^/\s@]+@ | \b(?:password|passwd|api[_-]?key|secret|token)\s*[=:]\s*\S""",
    re.VERBOSE | re.IGNORECASE,
)


def refuse_secrets(where: str, name: str, value: Any) -> None:
    """Refuse a parameter whose name or value looks like a token, a password or a key.

    The value itself is never part of the message.

    Args:
        where: what the parameter belongs to, for the message.
        name, value: the parameter; lists and mappings are searched.

    Raises:
        ValueError: it looks like a secret.
    """
    remedy = "parameters are stored with results: let the notebook read it from the environment"
    if _secret_name(name):
        raise ValueError(f"{where}: the parameter {name!r} looks by its name like a secret, and {remedy}")
    if _secret_value(value):
        raise ValueError(f"{where}: the value of {name!r} looks like a secret, and {remedy}")


def _secret_name(name: str) -> bool:
    words = [w.lower() for w in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", name)]
    return bool(set(words) & _WORDS or set(pairwise(words)) & _PAIRS)


def _secret_value(value: Any) -> bool:
    if isinstance(value, dict):
        return any(_secret_name(str(k)) or _secret_value(v) for k, v in value.items())
    if isinstance(value, list | tuple):
        return any(map(_secret_value, value))
    return isinstance(value, str) and _VALUES.search(value) is not None
