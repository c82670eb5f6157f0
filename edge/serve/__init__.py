"""What a phone sends to a server: the policy that decides, and the protocol between both. The server comes next."""
