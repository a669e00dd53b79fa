"""A trained model, ready for the ECGs of any hospital: classify, draw, test, export."""
