"""Tables of several methods, classes and metrics, as papers print them."""
