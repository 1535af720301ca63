"""What metrics ask a machine to compute, and who computes it. Imports the core alone."""
