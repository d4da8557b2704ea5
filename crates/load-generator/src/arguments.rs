//! The arguments: a command and `--name value` pairs.

use std::{net::SocketAddr, path::PathBuf, str::FromStr};

/// The command, and what it is given.
#[derive(Debug)]
pub(crate) struct Arguments {
    pub(crate) command: String,
    /// What is requested: `native`, `nginx`, `proxied`, `list` or a path that needs no signature.
    pub(crate) kind: String,
    /// The file of the requests of `list`.
    pub(crate) requests: PathBuf,
    pub(crate) address: SocketAddr,
    /// The local address of the connections.
    pub(crate) source: SocketAddr,
    /// The number of local addresses: `source` and the ones after it.
    pub(crate) sources: usize,
    pub(crate) authority: String,
    pub(crate) keys: u32,
    pub(crate) connections: usize,
    pub(crate) seconds: f64,
    /// The seconds before the measurement in which requests are sent too.
    pub(crate) warm_up: f64,
    /// Requests a second. 0 means as fast as the server answers.
    pub(crate) rate: f64,
    /// Whether a connection is not used again until the time that a refusal names in Retry-After. Requests that are due
    /// while all other connections are in use are then held back, as by a client that was asked to wait.
    pub(crate) obeys_retry_after: bool,
    /// How many requests are signed before the measurement.
    pub(crate) signed: usize,
}

fn parse<T: FromStr>(name: &str, value: &str) -> Result<T, String> {
    value.parse().map_err(|_| format!("{name} {value} is not valid"))
}

impl Arguments {
    pub(crate) fn read(mut arguments: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut read = Self {
            command: arguments.next().unwrap_or_default(),
            kind: "native".to_owned(),
            requests: PathBuf::new(),
            address: SocketAddr::from(([127, 0, 0, 1], 8080)),
            source: SocketAddr::from(([127, 0, 0, 1], 0)),
            sources: 1,
            authority: "127.0.0.1:8080".to_owned(),
            keys: 1000,
            connections: 64,
            seconds: 2.0,
            warm_up: 0.0,
            rate: 0.0,
            obeys_retry_after: false,
            signed: 50_000,
        };
        while let Some(name) = arguments.next() {
            let value = arguments.next().ok_or_else(|| format!("{name} has no value"))?;
            match name.as_str() {
                "--kind" => read.kind = value,
                "--requests" => read.requests = value.into(),
                "--address" => read.address = parse(&name, &value)?,
                "--source" => read.source = SocketAddr::new(parse(&name, &value)?, 0),
                "--sources" => read.sources = parse(&name, &value)?,
                "--authority" => read.authority = value,
                "--keys" => read.keys = parse(&name, &value)?,
                "--connections" => read.connections = parse(&name, &value)?,
                "--seconds" => read.seconds = parse(&name, &value)?,
                "--warm-up" => read.warm_up = parse(&name, &value)?,
                "--rate" => read.rate = parse(&name, &value)?,
                "--obey-retry-after" => read.obeys_retry_after = parse(&name, &value)?,
                "--signed" => read.signed = parse(&name, &value)?,
                _ => return Err(format!("there is no argument {name}")),
            }
        }
        if read.keys == 0 || read.connections == 0 || read.sources == 0 {
            return Err("--keys, --connections and --sources are at least 1".to_owned());
        }
        Ok(read)
    }
}
