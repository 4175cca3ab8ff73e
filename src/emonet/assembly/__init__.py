"""From the names in a configuration to built components, networks and sessions."""
