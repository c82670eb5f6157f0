"""The server: models that are too heavy for a phone, as Ray Serve applications behind one HTTP address."""
