//! Listening: one address, bounded connections, and a shutdown that lets requests finish.

use std::{future::ready, io, net::SocketAddr, pin::Pin, sync::Arc, time::Duration};

use axum::{Extension, Router, extract::State, routing::get};
use axum_server::{
    Handle,
    accept::{Accept, DefaultAcceptor},
    tls_rustls::RustlsAcceptor,
};
use http::header;
use hyper_util::rt::TokioTimer;
use tokio::{net::TcpStream, sync::Semaphore};

use super::{MAX_HEADERS, authenticate::ConnectionScheme, framing::Watched, router, tls::TlsFiles};
use crate::App;

/// Where to listen.
#[derive(Clone, Debug)]
pub struct ServerOptions {
    /// The address; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Where Prometheus reads metrics, if anywhere. Whoever reaches it reads them: keep it inside.
    pub metrics_listen: Option<SocketAddr>,
    /// Certificate and key; without them, plain HTTP.
    pub tls: Option<TlsFiles>,
}

impl ServerOptions {
    /// Plain HTTP at an address.
    #[must_use]
    pub const fn plain(listen: SocketAddr) -> Self {
        Self { listen, metrics_listen: None, tls: None }
    }
}

/// What connections may take.
#[derive(Clone, Copy, Debug)]
pub struct ConnectionLimits {
    /// Connections at a time; one more is closed at once.
    pub connections: usize,
    /// For how long a client may take to send the headers of a request.
    pub header_timeout: Duration,
    /// For how long the server goes on taking requests once it was told to stop, while it says that it is not ready.
    pub drain: Duration,
    /// For how long requests may take to finish after that.
    pub shutdown_timeout: Duration,
}

impl Default for ConnectionLimits {
    fn default() -> Self {
        Self {
            connections: 4096,
            header_timeout: Duration::from_secs(10),
            drain: Duration::ZERO,
            shutdown_timeout: Duration::from_secs(20),
        }
    }
}

/// A server that listens.
pub struct Server {
    app: Arc<App>,
    listener: std::net::TcpListener,
    handle: Handle<SocketAddr>,
    limits: ConnectionLimits,
    metrics_listener: Option<std::net::TcpListener>,
    tls: Option<TlsFiles>,
}

impl Server {
    /// Serves TLS with these files, or plain HTTP without.
    #[must_use]
    pub fn with_tls(mut self, files: Option<TlsFiles>) -> Self {
        self.tls = files;
        self
    }

    /// Tells metrics at this address.
    ///
    /// # Errors
    /// The address is taken or not ours.
    pub fn with_metrics(mut self, listen: SocketAddr) -> io::Result<Self> {
        self.metrics_listener = Some(std::net::TcpListener::bind(listen)?);
        Ok(self)
    }

    /// Takes the address. Requests wait until [`run`](Self::run).
    ///
    /// # Errors
    /// The address is taken or not ours.
    pub fn bind(app: Arc<App>, options: &ServerOptions) -> io::Result<Self> {
        let server = Self::on_listener(app, std::net::TcpListener::bind(options.listen)?).with_tls(options.tls.clone());
        match options.metrics_listen {
            Some(listen) => server.with_metrics(listen),
            None => Ok(server),
        }
    }

    /// Takes a listener that somebody else opened.
    #[must_use]
    pub fn on_listener(app: Arc<App>, listener: std::net::TcpListener) -> Self {
        Self {
            app,
            listener,
            handle: Handle::new(),
            limits: ConnectionLimits::default(),
            metrics_listener: None,
            tls: None,
        }
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

    /// Where metrics are read, if anywhere.
    ///
    /// # Errors
    /// The operating system does not tell.
    pub fn metrics_address(&self) -> io::Result<Option<SocketAddr>> {
        self.metrics_listener.as_ref().map(std::net::TcpListener::local_addr).transpose()
    }

    /// Answers requests until `stop` resolves, then lets those under way finish, and closes the app.
    ///
    /// # Errors
    /// Listening failed.
    pub async fn run(self, stop: impl Future<Output = ()> + Send + 'static) -> io::Result<()> {
        let Self { app, listener, handle, limits, metrics_listener, tls } = self;
        let (router, _) = router(Arc::clone(&app));
        let mut beside = Vec::new();
        if let Some(listener) = metrics_listener {
            let metrics = axum_server::from_tcp(listener)?.serve(metrics_router(Arc::clone(&app)).into_make_service());
            beside.push(tokio::spawn(async move {
                if let Err(error) = metrics.await {
                    tracing::error!(%error, "metrics are not served any more");
                }
            }));
        }
        let (stopping, stopped) = (handle.clone(), Arc::clone(&app));
        beside.push(tokio::spawn(async move {
            stop.await;
            stopped.announce_stop();
            if !limits.drain.is_zero() {
                tracing::info!(seconds = limits.drain.as_secs(), "stopping soon: not ready any more, still answering");
                tokio::time::sleep(limits.drain).await;
            }
            tracing::info!("stopping: requests under way may finish");
            stopping.graceful_shutdown(Some(limits.shutdown_timeout));
        }));
        let server = axum_server::from_tcp(listener)?.handle(handle);
        let places = Arc::new(Semaphore::new(limits.connections));
        let result = match tls {
            None => {
                let server = server.acceptor(WatchingAcceptor { inner: DefaultAcceptor, places });
                configure(server, limits).serve(router.into_make_service_with_connect_info::<SocketAddr>()).await
            }
            Some(files) => {
                let (config, follow) = files.load().await?;
                beside.push(tokio::spawn(follow));
                let acceptor = RustlsAcceptor::new(config).handshake_timeout(limits.header_timeout);
                let router = router.layer(Extension(ConnectionScheme("https")));
                let server = server.acceptor(WatchingAcceptor { inner: acceptor, places });
                configure(server, limits).serve(router.into_make_service_with_connect_info::<SocketAddr>()).await
            }
        };
        for task in beside {
            task.abort();
        }
        app.close().await;
        result
    }
}

/// The limits of what a client may send, and how slowly.
fn configure<A>(
    server: axum_server::Server<SocketAddr, A>,
    limits: ConnectionLimits,
) -> axum_server::Server<SocketAddr, A> {
    // Covers the time before hyper knows which HTTP it is, which its own timeout does not.
    let mut server = server.first_request_timeout(limits.header_timeout);
    let builder = server.http_builder();
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_timeout)
        .max_buf_size(2 * MAX_HEADERS)
        .max_headers(100);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_header_list_size(u32::try_from(MAX_HEADERS).unwrap_or(u32::MAX))
        .max_concurrent_streams(128)
        .keep_alive_interval(Some(Duration::from_secs(20)));
    server
}

fn metrics_router(app: Arc<App>) -> Router {
    let render = |State(app): State<Arc<App>>| async move {
        ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], app.render_metrics().await)
    };
    Router::new().route("/metrics", get(render)).with_state(app)
}

/// Gives a connection its place, and watches how its requests are framed, inside of TLS where there is TLS.
#[derive(Clone)]
struct WatchingAcceptor<A> {
    inner: A,
    places: Arc<Semaphore>,
}

impl<A, S> Accept<TcpStream, S> for WatchingAcceptor<A>
where
    A: Accept<TcpStream, S, Future: Send + 'static, Stream: Send + 'static, Service: Send + 'static>,
{
    type Stream = Watched<A::Stream>;
    type Service = A::Service;
    type Future = Pin<Box<dyn Future<Output = io::Result<(Self::Stream, Self::Service)>> + Send>>;

    fn accept(&self, stream: TcpStream, service: S) -> Self::Future {
        let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else {
            return Box::pin(ready(Err(io::Error::other("too many connections at a time"))));
        };
        // Answers are small and complete: waiting for more to send with them only delays them.
        if let Err(error) = stream.set_nodelay(true) {
            return Box::pin(ready(Err(error)));
        }
        let accepted = self.inner.accept(stream, service);
        Box::pin(async move { accepted.await.map(|(stream, service)| (Watched::new(stream, place), service)) })
    }
}
