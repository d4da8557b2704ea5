//! The tests of `client` with the real `ssh-keygen`, `openssl` and `puttygen`, and a scripted server. Each feature has
//! one module.

mod agent;
mod client;
mod find;
mod key_files;
mod key_pair;
mod private_key;
mod scripted_server;
mod signer;
mod ssh_keygen;
mod ssh_signature;
mod still;
