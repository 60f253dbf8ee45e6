"""What carries requests to a sandbox: sockets, TLS, httpx in this process, the command."""
