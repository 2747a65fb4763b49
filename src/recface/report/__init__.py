"""One self-contained page of results: sentences, tables, curves, faces, and meshes that turn."""
