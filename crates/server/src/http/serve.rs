//! Listening: one address, bounded connections, and a shutdown that lets requests finish.

use std::{
    future::{Ready, ready},
    io,
    net::SocketAddr,
    sync::Arc,
    time::Duration,
};

use axum_server::{Handle, accept::Accept};
use hyper_util::rt::TokioTimer;
use tokio::{net::TcpStream, sync::Semaphore};

use super::{MAX_HEADERS, framing::Watched, router};
use crate::App;

/// Where to listen.
#[derive(Clone, Debug)]
pub struct ServerOptions {
    /// The address; port 0 takes a free one.
    pub listen: SocketAddr,
}

/// What connections may take.
#[derive(Clone, Copy, Debug)]
pub struct ConnectionLimits {
    /// Connections at a time; one more is closed at once.
    pub connections: usize,
    /// For how long a client may take to send the headers of a request.
    pub header_timeout: Duration,
    /// For how long requests may take to finish once the server was told to stop.
    pub shutdown_timeout: Duration,
}

impl Default for ConnectionLimits {
    fn default() -> Self {
        Self { connections: 4096, header_timeout: Duration::from_secs(10), shutdown_timeout: Duration::from_secs(20) }
    }
}

/// A server that listens.
pub struct Server {
    app: Arc<App>,
    listener: std::net::TcpListener,
    handle: Handle<SocketAddr>,
    limits: ConnectionLimits,
}

impl Server {
    /// Takes the address. Requests wait until [`run`](Self::run).
    ///
    /// # Errors
    /// The address is taken or not ours.
    pub fn bind(app: Arc<App>, options: &ServerOptions) -> io::Result<Self> {
        Ok(Self::on_listener(app, std::net::TcpListener::bind(options.listen)?))
    }

    /// Takes a listener that somebody else opened.
    #[must_use]
    pub fn on_listener(app: Arc<App>, listener: std::net::TcpListener) -> Self {
        Self { app, listener, handle: Handle::new(), limits: ConnectionLimits::default() }
    }

    /// Sets other limits.
    #[must_use]
    pub const fn with_limits(mut self, limits: ConnectionLimits) -> Self {
        self.limits = limits;
        self
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
        let ConnectionLimits { connections, header_timeout, shutdown_timeout } = self.limits;
        let stopping = tokio::spawn(async move {
            stop.await;
            tracing::info!("stopping: requests under way may finish");
            handle.graceful_shutdown(Some(shutdown_timeout));
        });
        let mut server = axum_server::from_tcp(self.listener)?
            .handle(self.handle)
            .acceptor(WatchingAcceptor { places: Arc::new(Semaphore::new(connections)) })
            // Covers the time before hyper knows which HTTP it is, which its own timeout does not.
            .first_request_timeout(header_timeout);
        let builder = server.http_builder();
        builder
            .http1()
            .timer(TokioTimer::new())
            .header_read_timeout(header_timeout)
            .max_buf_size(2 * MAX_HEADERS)
            .max_headers(100);
        builder
            .http2()
            .timer(TokioTimer::new())
            .max_header_list_size(u32::try_from(MAX_HEADERS).unwrap_or(u32::MAX))
            .max_concurrent_streams(128)
            .keep_alive_interval(Some(Duration::from_secs(20)));
        let result = server.serve(router.into_make_service_with_connect_info::<SocketAddr>()).await;
        stopping.abort();
        self.app.close().await;
        result
    }
}

/// Gives a connection its place, and watches how its requests are framed.
#[derive(Clone)]
struct WatchingAcceptor {
    places: Arc<Semaphore>,
}

impl<S> Accept<TcpStream, S> for WatchingAcceptor {
    type Stream = Watched<TcpStream>;
    type Service = S;
    type Future = Ready<io::Result<(Self::Stream, S)>>;

    fn accept(&self, stream: TcpStream, service: S) -> Self::Future {
        let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else {
            return ready(Err(io::Error::other("too many connections at a time")));
        };
        // Answers are small and complete: waiting for more to send with them only delays them.
        ready(stream.set_nodelay(true).map(|()| (Watched::new(stream, place), service)))
    }
}
