"""The vocabulary: graph, primitive ops, composite blocks written once as lowerings, and the torch module of each op."""
