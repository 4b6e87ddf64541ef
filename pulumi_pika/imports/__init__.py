"""From existing instances to the program that declares them. Pure: no server, no file."""
