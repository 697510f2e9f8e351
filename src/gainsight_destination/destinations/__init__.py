"""Where records go: the contract every destination keeps, the catalog, and one folder per destination."""
