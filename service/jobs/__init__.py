"""What a job is and what events and endings make of it: pure functions, no disk, no loop."""
