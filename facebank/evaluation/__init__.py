"""How far answers can be trusted: datasets, protocols, figures with intervals, reports."""
