//! Several nodes.

mod many_nodes;
