"""MiniStack imports this module; for ECS it uses nothing of it."""
