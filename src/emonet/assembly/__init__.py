"""Build components, networks and sessions from the names in a configuration."""
