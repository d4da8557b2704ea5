//! Listening: one address, bounded connections, and a shutdown that lets requests finish.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use axum_server::Handle;
use hyper_util::rt::TokioTimer;

use super::{MAX_HEADERS, router};
use crate::App;

/// For how long a client may take to send its headers.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// For how long requests may take to finish once the server was told to stop.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(20);

/// Where to listen.
#[derive(Clone, Debug)]
pub struct ServerOptions {
    /// The address; port 0 takes a free one.
    pub listen: SocketAddr,
}

/// A server that listens.
pub struct Server {
    app: Arc<App>,
    listener: std::net::TcpListener,
    handle: Handle<SocketAddr>,
}

impl Server {
    /// Takes the address. Requests wait until [`run`](Self::run).
    ///
    /// # Errors
    /// The address is taken or not ours.
    pub fn bind(app: Arc<App>, options: &ServerOptions) -> io::Result<Self> {
        let listener = std::net::TcpListener::bind(options.listen)?;
        listener.set_nonblocking(true)?;
        Ok(Self { app, listener, handle: Handle::new() })
    }

    /// Where it listens.
    ///
    /// # Errors
    /// The operating system does not tell.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Answers requests until `stop` resolves, then lets those under way finish, and closes the app.
    ///
    /// # Errors
    /// Listening failed.
    pub async fn run(self, stop: impl Future<Output = ()> + Send + 'static) -> io::Result<()> {
        let (router, _) = router(Arc::clone(&self.app));
        let handle = self.handle.clone();
        tokio::spawn(async move {
            stop.await;
            tracing::info!("stopping: requests under way may finish");
            handle.graceful_shutdown(Some(SHUTDOWN_TIMEOUT));
        });
        let mut server = axum_server::from_tcp(self.listener)?.handle(self.handle);
        let builder = server.http_builder();
        builder
            .http1()
            .timer(TokioTimer::new())
            .header_read_timeout(HEADER_TIMEOUT)
            .max_buf_size(2 * MAX_HEADERS)
            .max_headers(100);
        builder
            .http2()
            .timer(TokioTimer::new())
            .max_header_list_size(u32::try_from(MAX_HEADERS).unwrap_or(u32::MAX))
            .max_concurrent_streams(128)
            .keep_alive_interval(Some(Duration::from_secs(20)));
        let result = server.serve(router.into_make_service_with_connect_info::<SocketAddr>()).await;
        self.app.close().await;
        result
    }
}
