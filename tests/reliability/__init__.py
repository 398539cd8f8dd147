"""What is promised of reliability, tested: see docs/reliability.md."""
