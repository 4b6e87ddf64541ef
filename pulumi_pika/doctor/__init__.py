"""Find out what a host, and this machine, lack for a program."""
