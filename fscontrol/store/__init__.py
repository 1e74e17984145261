"""The desired state and the records: one Protocol, SQLite by default, Redis when one machine is not enough."""
