"""Put artifacts into apps: copy them, bind them by name and type, and check what breaks in the field."""
