"""What runs on the device: these files import nothing of the kit, so that they can be copied to a board as they are."""
