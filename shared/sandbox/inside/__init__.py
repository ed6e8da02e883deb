"""What runs inside a sandbox elsewhere. It is sent there as text (`shared.sandbox.bundle`): standard library and each other only."""
