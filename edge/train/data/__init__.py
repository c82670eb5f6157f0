"""What is trained on: pictures of a folder, readers of labelled sets, people who are rendered, and mixes of them."""
