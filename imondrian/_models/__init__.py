"""What a model is asked, whichever library asks. Imports ``_conformal`` and below."""
