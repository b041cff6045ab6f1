"""What writes an answer: the protocol, and a file for each kind of generator."""
