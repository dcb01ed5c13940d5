"""The ground floor: what every other part may import, and which imports nothing of ours."""
