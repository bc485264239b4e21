"""The static site: verdicts, findings, papers, figures and the library's reference, read without a server."""
