"""What tests of deciders, views and adapters need: given/when/then, contract suites per port, a settable clock."""
