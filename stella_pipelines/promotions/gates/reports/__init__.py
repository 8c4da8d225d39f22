"""Readers of security reports: Trivy JSON, Grype JSON, CycloneDX VEX. Each is a pure function from bytes to findings or statements, strict about the shape."""
