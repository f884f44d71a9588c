"""What tests of prescriptions begin with, at every level: people, pharmacies, and stories told by real decisions."""
