"""The Event Socket: the only package that imports greenswitch."""
