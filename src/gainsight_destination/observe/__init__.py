"""What a running product says about itself: logs and metrics."""
