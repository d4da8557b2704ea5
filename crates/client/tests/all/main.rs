//! The tests of `client` against the real `ssh-keygen`, `openssl` and `puttygen`, and a server that says what it is told to. One module a feature.

mod agent;
mod client;
mod key_files;
mod key_pair;
mod private_key;
mod scripted_server;
mod signer;
mod ssh_keygen;
mod ssh_signature;
mod still;
