//! No code: see `scripts/workspace-hack`.
