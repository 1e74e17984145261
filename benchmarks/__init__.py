"""Measurements of what a core carries, repeated and beside a bound; `scripts/bench` runs them."""
