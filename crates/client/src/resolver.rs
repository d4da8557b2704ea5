//! Resolves host names by the system's resolver. Its own error type distinguishes an unknown name from a server that
//! does not listen.

use std::{io, net::SocketAddr};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

/// A host name that cannot be resolved.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub(crate) struct ResolveError(io::Error);

/// The system's resolver.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SystemResolver;

impl Resolve for SystemResolver {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            // The port of the URL replaces port 0.
            let found = tokio::net::lookup_host((name.as_str(), 0)).await.map_err(ResolveError)?;
            let addresses: Addrs = Box::new(found.collect::<Vec<SocketAddr>>().into_iter());
            Ok(addresses)
        })
    }
}
