"""The one place where desired state changes: rules → store → wake the reconciler."""
