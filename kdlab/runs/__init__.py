"""Many runs: compared over seeds or replicates, kept, resumed."""
