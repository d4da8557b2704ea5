//! The listener. It accepts connections and serves them within the limits of `http/connections.rs`. When the server
//! stops, requests can finish.

use std::{convert::Infallible, io, net::SocketAddr, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use axum::{
    Router,
    body::Body,
    extract::{ConnectInfo, State},
    response::Response,
    routing::get,
};
use http::{Request, Version, header};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
};
use rustls::ServerConfig;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::{mpsc, watch},
    time::{Instant, sleep, timeout},
};
use tokio_rustls::TlsAcceptor;
use tower::ServiceExt as _;

use crate::{
    App,
    http::{ConnectionLimits, Connections, Due, MAX_HEADERS, OnConnection, Place, TlsFiles, Watched},
    router::Endpoints,
};

/// The number of connections that the system keeps until they are accepted, so that a burst of connections does not
/// delay others by a second.
const BACKLOG: i32 = 4096;
/// The pause after the system refused to accept a connection.
const ACCEPT_REST: Duration = Duration::from_millis(50);
/// The maximum number of concurrent streams of an HTTP/2 connection.
const MAX_STREAMS: u32 = 16;
/// The same for a trusted proxy, which has many clients.
const MAX_STREAMS_OF_PROXY: u32 = 128;
/// How many bytes of a body, and of all bodies on a connection, an HTTP/2 client may send before they are read.
const RECEIVE_WINDOW: u32 = 64 * 1024;
/// How many bytes of responses the system buffers for a connection. It limits the cost of a client that does not read,
/// and of filling the buffer at once.
const SOCKET_SEND_BUFFER: usize = 64 * 1024;
/// How many bytes of responses are buffered for an HTTP/2 stream.
const SEND_BUFFER: usize = 64 * 1024;

/// The listen addresses and TLS files.
#[derive(Clone, Debug)]
pub struct ServerOptions {
    /// The listen address. With port 0, the system chooses a free port.
    pub listen: SocketAddr,
    /// The listen address for Prometheus metrics, if any. The metrics need no credential, so do not expose the address.
    pub metrics_listen: Option<SocketAddr>,
    /// The certificate and key. Without them, the server uses plain HTTP.
    pub tls: Option<TlsFiles>,
}

impl ServerOptions {
    /// Returns options for plain HTTP at an address.
    #[must_use]
    pub const fn plain(listen: SocketAddr) -> Self {
        Self { listen, metrics_listen: None, tls: None }
    }
}

/// A server with its listener.
pub struct Server {
    app: Arc<App>,
    listener: std::net::TcpListener,
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

    /// Serves metrics at this address.
    ///
    /// # Errors
    /// The address is in use or does not belong to this machine.
    pub fn with_metrics(mut self, listen: SocketAddr) -> io::Result<Self> {
        self.metrics_listener = Some(std::net::TcpListener::bind(listen)?);
        Ok(self)
    }

    /// Binds the address. Requests wait until [`run`](Self::run).
    ///
    /// # Errors
    /// The address is in use or does not belong to this machine.
    pub fn bind(app: Arc<App>, options: &ServerOptions) -> io::Result<Self> {
        let server = Self::on_listener(app, std::net::TcpListener::bind(options.listen)?).with_tls(options.tls.clone());
        match options.metrics_listen {
            Some(listen) => server.with_metrics(listen),
            None => Ok(server),
        }
    }

    /// Uses a listener that the caller opened.
    #[must_use]
    pub fn on_listener(app: Arc<App>, listener: std::net::TcpListener) -> Self {
        Self { app, listener, limits: ConnectionLimits::default(), metrics_listener: None, tls: None }
    }

    /// Sets other limits.
    #[must_use]
    pub const fn with_limits(mut self, limits: ConnectionLimits) -> Self {
        self.limits = limits;
        self
    }

    /// Returns the listen address.
    ///
    /// # Errors
    /// The operating system reports an error.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Returns the listen address for metrics, if there is one.
    ///
    /// # Errors
    /// The operating system reports an error.
    pub fn metrics_address(&self) -> io::Result<Option<SocketAddr>> {
        self.metrics_listener.as_ref().map(std::net::TcpListener::local_addr).transpose()
    }

    /// Answers requests until `stop` resolves, then waits until current requests have finished, and closes the app.
    ///
    /// # Errors
    /// Listening failed.
    pub async fn run(self, stop: impl Future<Output = ()> + Send + 'static) -> io::Result<()> {
        let Self { app, listener, limits, metrics_listener, tls } = self;
        let mut beside = Vec::new();
        let (phase, phases) = watch::channel(Phase::Serving);
        if let Some(listener) = metrics_listener {
            let connections = Arc::new(Connections::new(limits));
            let metrics =
                Front::new(Arc::clone(&app), Served::Metrics(metrics_router(Arc::clone(&app))), connections, None);
            beside.push(tokio::spawn(metrics.serve(listen(listener)?, phases.clone())));
        }
        let tls = match tls {
            None => None,
            Some(files) => {
                let (config, follow) = files.load().await?;
                beside.push(tokio::spawn(follow));
                Some(config)
            }
        };
        let connections = Arc::new(Connections::new(limits));
        let measured = Arc::clone(&connections);
        beside.push(tokio::spawn(async move { measured.queue_delay().measure().await }));
        let endpoints = Served::Endpoints(Box::new(Endpoints::new(Arc::clone(&app), Arc::clone(&connections))));
        let serving = Front::new(Arc::clone(&app), endpoints, connections, tls).serve(listen(listener)?, phases);
        let stopping = async {
            stop.await;
            app.announce_stop();
            if !limits.drain.is_zero() {
                tracing::info!(seconds = limits.drain.as_secs(), "draining: no longer ready, still accepting requests");
                sleep(limits.drain).await;
            }
            tracing::info!("stopping: waiting for requests in progress");
            phase.send_replace(Phase::Stopping);
            sleep(limits.shutdown_timeout).await;
            phase.send_replace(Phase::Stopped);
            std::future::pending::<()>().await;
        };
        tokio::select! {
            () = serving => {}
            () = stopping => {}
        }
        for task in beside {
            task.abort();
        }
        app.close().await;
        Ok(())
    }
}

/// The phases of stopping a server.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Phase {
    Serving,
    /// No connection is accepted. Current requests finish.
    Stopping,
    /// The server no longer waits for requests.
    Stopped,
}

fn listen(listener: std::net::TcpListener) -> io::Result<TcpListener> {
    listener.set_nonblocking(true)?;
    let socket = socket2::SockRef::from(&listener);
    // Connections inherit this from their listener.
    socket.set_send_buffer_size(SOCKET_SEND_BUFFER)?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(listener)
}

/// What a listener serves.
enum Served {
    Endpoints(Box<Endpoints>),
    Metrics(Router),
}

impl Served {
    async fn answer(&self, request: Request<Body>) -> Result<Response, Infallible> {
        match self {
            Self::Endpoints(endpoints) => Ok(endpoints.answer(request).await),
            Self::Metrics(router) => router.clone().oneshot(request).await,
        }
    }
}

/// The service for the connections of a listener.
struct Front {
    app: Arc<App>,
    served: Arc<Served>,
    connections: Arc<Connections>,
    tls: Option<Arc<ArcSwap<ServerConfig>>>,
    for_clients: auto::Builder<TokioExecutor>,
    for_proxies: auto::Builder<TokioExecutor>,
}

impl Front {
    fn new(
        app: Arc<App>,
        served: Served,
        connections: Arc<Connections>,
        tls: Option<Arc<ArcSwap<ServerConfig>>>,
    ) -> Arc<Self> {
        let for_clients = builder(connections.limits(), MAX_STREAMS);
        let for_proxies = builder(connections.limits(), MAX_STREAMS_OF_PROXY);
        Arc::new(Self { app, served: Arc::new(served), connections, tls, for_clients, for_proxies })
    }

    /// Accepts connections until the server stops, and then waits until all have ended.
    async fn serve(self: Arc<Self>, listener: TcpListener, mut phases: watch::Receiver<Phase>) {
        // Each connection holds a sender. After all are dropped, the receiver ends.
        let (alive, mut ended) = mpsc::channel::<()>(1);
        loop {
            let accepted = tokio::select! {
                biased;
                _ = phases.wait_for(|phase| *phase >= Phase::Stopping) => break,
                accepted = listener.accept() => accepted,
            };
            let (stream, peer) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    if !matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset) {
                        tracing::warn!(%error, "a connection could not be accepted");
                        // The system is out of file descriptors or memory. Closing an idle connection frees some.
                        self.connections.close_longest_waiting();
                        sleep(ACCEPT_REST).await;
                    }
                    continue;
                }
            };
            let address = peer.ip().to_canonical();
            let is_trusted = self.app.settings().is_trusted_proxy(address);
            let Some(place) = self.connections.place(address, is_trusted).await else { continue };
            self.spawn(stream, peer, place, &phases, &alive);
        }
        self.close(listener, &phases, &alive).await;
        drop(alive);
        ended.recv().await;
    }

    /// Serves a connection in its own task.
    fn spawn(
        self: &Arc<Self>,
        stream: TcpStream,
        peer: SocketAddr,
        place: Place,
        phases: &watch::Receiver<Phase>,
        alive: &mpsc::Sender<()>,
    ) {
        let (front, phases, alive) = (Arc::clone(self), phases.clone(), alive.clone());
        tokio::spawn(async move {
            tokio::select! {
                biased;
                () = place.connection.closed() => {}
                () = front.serve_connection(stream, peer, &place, phases) => {}
            }
            drop(alive);
        });
    }

    /// Closes the listener, so that connections are refused instead of waiting. The system has already confirmed some to
    /// their clients, which may have sent a request: these are served.
    async fn close(self: &Arc<Self>, listener: TcpListener, phases: &watch::Receiver<Phase>, alive: &mpsc::Sender<()>) {
        let Ok(listener) = listener.into_std() else { return };
        loop {
            let (stream, peer) = match listener.accept() {
                Ok(accepted) => accepted,
                Err(error) if matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::Interrupted) => {
                    continue;
                }
                // Usually that there is no other.
                Err(_) => return,
            };
            let accepted = stream.set_nonblocking(true).and_then(|()| TcpStream::from_std(stream));
            let address = peer.ip().to_canonical();
            let is_trusted = self.app.settings().is_trusted_proxy(address);
            if let Ok(stream) = accepted
                && let Some(place) = self.connections.place(address, is_trusted).await
            {
                self.spawn(stream, peer, place, phases, alive);
            }
        }
    }

    async fn serve_connection(
        &self,
        stream: TcpStream,
        peer: SocketAddr,
        place: &Place,
        mut phases: watch::Receiver<Phase>,
    ) {
        // Responses are small and complete, so waiting for more data only delays them.
        if stream.set_nodelay(true).is_err() {
            return;
        }
        let Some(tls) = &self.tls else {
            return self.serve_stream(stream, peer, place, phases).await;
        };
        let acceptor = TlsAcceptor::from(tls.load_full());
        let handshake = timeout(self.connections.limits().header_timeout, acceptor.accept(stream));
        let stream = tokio::select! {
            biased;
            () = grace_ends(&mut phases, self.connections.limits().stop_grace) => return,
            stream = handshake => stream,
        };
        if let Ok(Ok(stream)) = stream {
            self.serve_stream(stream, peer, place, phases).await;
        }
    }

    /// Serves the requests of a connection until it ends or one of its timeouts expires.
    async fn serve_stream(
        &self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        peer: SocketAddr,
        place: &Place,
        mut phases: watch::Receiver<Phase>,
    ) {
        let limits = self.connections.limits();
        let (served, connection) = (Arc::clone(&self.served), Arc::clone(&place.connection));
        let builder = if connection.is_of_trusted_proxy() { &self.for_proxies } else { &self.for_clients };
        let service = service_fn(move |request: Request<Incoming>| {
            if request.version() == Version::HTTP_2 {
                connection.note_http2();
            }
            let mut request = request.map(Body::new);
            let extensions = request.extensions_mut();
            extensions.insert(ConnectInfo(peer));
            extensions.insert(OnConnection(Arc::clone(&connection)));
            let served = Arc::clone(&served);
            async move { served.answer(request).await }
        });
        let mut serving = std::pin::pin!(builder.serve_connection(TokioIo::new(Watched::new(stream)), service));
        let mut timer = std::pin::pin!(sleep(limits.header_timeout));
        let (mut is_ending, mut is_stopping, mut next) = (false, false, Phase::Stopping);
        loop {
            tokio::select! {
                biased;
                // A connection may end early for any reason. This is not an error of the server.
                _ = serving.as_mut() => return,
                () = timer.as_mut() => match place.connection.due(limits) {
                    _ if is_ending => return,
                    // Its answers ask the client to close it, so that it is kept until the client has used it again.
                    _ if is_stopping => match place.connection.due_at_stop(limits) {
                        Some(time) => timer.as_mut().reset(Instant::now() + time),
                        None => {
                            serving.as_mut().graceful_shutdown();
                            is_stopping = false;
                            timer.as_mut().reset(Instant::now() + limits.header_timeout);
                        }
                    },
                    Due::Close => return,
                    Due::In(time) => timer.as_mut().reset(Instant::now() + time),
                    Due::Retire => {
                        serving.as_mut().graceful_shutdown();
                        is_ending = true;
                        timer.as_mut().reset(Instant::now() + limits.header_timeout);
                    }
                },
                changed = phases.wait_for(|phase| *phase >= next) => {
                    if changed.is_err() || next == Phase::Stopped {
                        return;
                    }
                    next = Phase::Stopped;
                    is_stopping = true;
                    timer.as_mut().reset(Instant::now());
                }
            }
        }
    }
}

/// Returns some time after the server began to stop.
async fn grace_ends(phases: &mut watch::Receiver<Phase>, grace: Duration) {
    // It fails if the server has ended.
    if phases.wait_for(|phase| *phase >= Phase::Stopping).await.is_ok() {
        sleep(grace).await;
    }
}

/// Configures the limits for received data, and how slowly it may be sent.
fn builder(limits: &ConnectionLimits, streams: u32) -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
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
        .max_concurrent_streams(streams)
        .initial_stream_window_size(RECEIVE_WINDOW)
        .initial_connection_window_size(RECEIVE_WINDOW)
        .max_send_buf_size(SEND_BUFFER)
        .keep_alive_interval(Some(Duration::from_secs(20)));
    builder
}

fn metrics_router(app: Arc<App>) -> Router {
    let render = |State(app): State<Arc<App>>| async move {
        ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], app.render_metrics().await)
    };
    Router::new().route("/metrics", get(render)).with_state(app)
}
