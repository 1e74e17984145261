"""The doors: thin, onto provisioning, sofia and calls. No rule lives here."""
