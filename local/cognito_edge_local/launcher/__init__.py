"""How the system starts and stops: builds, child processes, ports, the state folder, the console."""
