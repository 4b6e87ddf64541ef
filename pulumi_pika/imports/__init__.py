"""Turn existing instances into the program that declares them. Pure: no server, no file."""
