"""The audio between a parked call and its assistant."""
