"""What carries requests to a sandbox: sockets, TLS, the command."""
