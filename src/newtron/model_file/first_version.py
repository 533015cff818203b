"""What manifests of format version 1 lack, filled in, so that every reader sees one format."""

from __future__ import annotations

from typing import Any

from newtron.engine.base.strict_json import float_to_json

_UNKNOWN = float_to_json(float("nan"))
_OF_A_MEMBER = {
    "noise": 1.0,
    "log_evidence": _UNKNOWN,
    "effective_parameters": _UNKNOWN,
    "curvature": None,
    "information": None,
    "effective": None,
}


def complete_first_version(manifest: dict[str, Any]) -> None:
    """Add what is missing, in place; whatever is wrong with the rest is told by those who read it."""
    manifest.setdefault("separation", None)
    manifest.setdefault("predictive", None)
    settings, features, members = (manifest.get(name) for name in ("settings", "features", "members"))
    if isinstance(settings, dict) and manifest.get("estimator") == "PerceptronClassifier":
        settings.setdefault("penalty", "l2")
    if isinstance(features, dict):
        features.setdefault("bent", None)
        features.setdefault("relevance", None)
    for member in members if isinstance(members, list) else []:
        if isinstance(member, dict):
            for name, value in _OF_A_MEMBER.items():
                member.setdefault(name, value)
