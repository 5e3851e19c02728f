"""What runs on the maintenance instance."""
