"""The project's nouns as frozen values: organisation, trunk, number, gateway, call, registration. No I/O."""
