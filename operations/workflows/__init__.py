"""The two workflows: started, followed, paused and resumed."""
