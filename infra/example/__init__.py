"""The example that ``make run`` and ``make deploy`` use: users, two functions, a site, a firewall, alarms."""
