"""What one client may take of a server: how slowly it may send, and how many connections it may have."""
