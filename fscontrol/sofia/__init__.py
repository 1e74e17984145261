"""What sofia (FreeSWITCH's SIP stack) must have: rendered, delivered, applied, verified; and what it reports."""
