"""Pages for people: rendered here, without JavaScript and without anything from elsewhere."""
