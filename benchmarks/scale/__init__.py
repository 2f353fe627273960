"""What a team's database, store and workers do: the figures of docs/scale.md, one module for each subject."""
