//! The real binary in temporary directories, as a person at a shell uses it.

mod admin;
mod agent;
mod api_key;
mod audit;
mod backup;
mod completions;
mod data_directory;
mod demo;
mod doctor;
mod experiments;
mod faults;
mod guides;
mod help;
mod installation_key;
mod invitation;
mod keygen;
mod member;
mod postgres;
mod project;
mod refusals;
mod request;
mod serve;
mod service_account;
mod support;
mod tls;
mod workspace;
