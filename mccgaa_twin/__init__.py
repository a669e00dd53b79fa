"""The synthetic mirror: physiologically simulated ECGs in PhysioNet's folder trees."""
