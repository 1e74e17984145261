"""docs/metrics.md, generated from `telemetry/families.py`; a test holds the two, and a scrape, together."""

from __future__ import annotations

from fscontrol.telemetry.families import FAMILIES, PREFIX, WORDS, Family

_HEAD = """# Figures

Generated from `fscontrol/telemetry/families.py` (`python -m fscontrol.cli.metrics_page > docs/metrics.md`).

`GET /metrics`, in the form Prometheus reads, with a key of all organisations (`fscontrol keys create`, role viewer).
Durations are in seconds. Figures are of one control plane and add up to the fleet's, with two exceptions: what is read
from the store they share (`fscontrol_outbox_…`, `fscontrol_alarms`: take the maximum), and `fscontrol_gateways`, which
each control plane sees (of several, take those where `fscontrol_node_steered` is 1). No label holds a number, a call, a
gateway or an organisation. A histogram has `_bucket`, `_sum` and `_count`.

[Alert rules](../docker/prometheus/rules.yml), [dashboard](../docker/grafana/dashboards/fscontrol.json), and the compose
profile that runs both: [docker](../docker/README.md).

| figure | type | labels | meaning |
|---|---|---|---|
"""
_LABELS = """
## Labels

`node` is a name of `FSCONTROL_NODES`, `version` fscontrol's. A word that is not in these lists is shown as `other`.

| label | words |
|---|---|
"""


def metrics_page() -> str:
    """The page as text."""
    rows = "\n".join(_row(family) for family in FAMILIES)
    words = "\n".join(
        f"| `{label}` | {', '.join(f'`{word}`' for word in sorted(words))} |"
        for label, words in WORDS.items()
    )
    return f"{_HEAD}{rows}\n{_LABELS}{words}\n"


def _row(family: Family) -> str:
    labels = ", ".join(f"`{label}`" for label in family.labels)
    return f"| `{PREFIX}{family.name}` | {family.type.value} | {labels} | {family.text} |"


if __name__ == "__main__":
    print(metrics_page(), end="")
