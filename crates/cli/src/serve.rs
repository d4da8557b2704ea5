//! `keyward serve`: the server, in production.

use std::{
    io,
    net::{SocketAddr, TcpListener},
    sync::Arc,
};

use sd_notify::NotifyState;
use server::{
    App, Server,
    app::{AppConfig, Caller},
    http::ConnectionLimits,
    request_log::RequestLog,
};
use tokio::signal::unix::{SignalKind, signal};

use crate::{
    configuration::{Configuration, ServerArguments, url_of},
    data_directory::{DataDirectory, ServeLock},
    failure::{Failure, Outcome},
    log, output,
};

/// Run the server until Ctrl-C or SIGTERM
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Every setting can stand in keyward.toml (`listen = \"127.0.0.1:8080\"`) or in a variable (`KEYWARD_LISTEN`); the flag
comes first, then the variable, then the file. Besides the flags there are `service_account_domain`,
`support_contact`, `workspace_creation`, `self_rotation`, `hosts` (further origins of this server's API and pages),
`proxied_hosts` (the hosts of APIs behind proxies), `encord_hosts`, `trusted_proxies`, `tls_certificate` and `tls_key` (PEM files,
read again when they change), `lease` and `drain` (seconds) and, in the file, `[smtp]` (`url`,
`from`), `[rate_limits]`, `[[routes]]` and `[[scopes]]`. KEYWARD_LOG sets what is logged: `info`, `warn`, `server=debug`.

Examples:
  keyward serve
  keyward serve --listen 127.0.0.1:9000 --data /var/lib/keyward
  keyward serve --public-url https://keys.example.com      behind a proxy that ends TLS
  KEYWARD_DATABASE_URL=postgres://keyward@db/keyward keyward serve      one of any number of nodes

Then, on the same machine:
  keyward admin create-user --email you@example.com --name You --password-stdin --operator")]
pub(crate) struct Serve {
    #[command(flatten)]
    server: ServerArguments,
}

impl Serve {
    pub(crate) async fn run(self) -> Outcome {
        let request_log = log::start_serving("info,sqlx=warn")?;
        let running = Running::start(&Configuration::read(&self.server)?, request_log).await?;
        // The signal handlers must be installed first, because a reader of the line may stop the server immediately.
        let stop = stop_signal()?;
        running.print_line()?;
        // The user that reads this output operates the machine.
        let host = Caller::host();
        if let Some(link) = running.app.create_set_up_link(&host).await?.into_inner() {
            output::result(format!("there is no operator yet: open {link} within a day to become the operator"))?;
        }
        tell_service_manager(&NotifyState::Ready);
        let stop = async {
            stop.await;
            tell_service_manager(&NotifyState::Stopping);
        };
        running.serve(stop).await
    }
}

/// A server that is ready and answers after [`serve`](Self::serve) is called.
pub(crate) struct Running {
    pub(crate) app: Arc<App>,
    pub(crate) address: SocketAddr,
    /// Its URL on this machine.
    pub(crate) url: String,
    pub(crate) directory: DataDirectory,
    server: Server,
    lock: ServeLock,
}

impl Running {
    /// Checks the settings, locks the data directory, binds the address, and opens the installation.
    pub(crate) async fn start(
        configuration: &Configuration,
        request_log: Option<Arc<dyn RequestLog>>,
    ) -> Outcome<Self> {
        configuration.validate()?;
        let directory = DataDirectory::create(&configuration.data)?;
        let mut lock = directory.lock()?;
        let listener = TcpListener::bind(configuration.listen).map_err(|e| cannot_listen(configuration.listen, &e))?;
        let address = listener.local_addr().map_err(|e| cannot_listen(configuration.listen, &e))?;
        let tls = configuration.tls()?;
        let plain_url = url_of(address);
        let url = if tls.is_some() { plain_url.replacen("http://", "https://", 1) } else { plain_url };
        let settings = configuration.settings(&url);
        let config = AppConfig { request_log, ..configuration.app_config(directory.path(), settings) };
        let app = App::open_for_serving(config).await?;
        lock.announce(&app.settings().public_url)?;
        let limits = ConnectionLimits { drain: configuration.drain(), ..ConnectionLimits::default() };
        let mut server = Server::on_listener(Arc::clone(&app), listener).with_tls(tls).with_limits(limits);
        if let Some(metrics) = configuration.metrics_listen {
            server = server.with_metrics(metrics).map_err(|error| cannot_listen(metrics, &error))?;
        }
        Ok(Self { app, address, url, directory, server, lock })
    }

    pub(crate) fn print_line(&self) -> Outcome {
        output::result(format!("keyward listens on {} (data in {})", self.url, self.directory.path().display()))?;
        match self.server.metrics_address() {
            Ok(Some(metrics)) => output::result(format!("metrics are on http://{metrics}/metrics")),
            Ok(None) => Ok(()),
            Err(error) => Err(Failure::new(format!("the address of the metrics is unknown ({error})"))),
        }
    }

    /// Answers requests until `stop` resolves, and waits until current requests have finished.
    pub(crate) async fn serve(self, stop: impl Future<Output = ()> + Send + 'static) -> Outcome {
        let served = self.server.run(stop).await;
        drop(self.lock);
        served.map_err(|error| cannot_listen(self.address, &error))
    }
}

/// Notifies systemd, or a compatible service manager, if it started this process and requested notifications.
fn tell_service_manager(state: &NotifyState<'_>) {
    if let Err(error) = sd_notify::notify(std::slice::from_ref(state)) {
        tracing::warn!(%error, "the service manager cannot be notified: NOTIFY_SOCKET names no listening socket");
    }
}

/// Resolves on Ctrl-C or SIGTERM.
pub(crate) fn stop_signal() -> Outcome<impl Future<Output = ()> + Send + 'static> {
    let listen = |kind| signal(kind).map_err(|error| Failure::new(format!("signals cannot be handled: {error}")));
    let (mut interrupt, mut terminate) = (listen(SignalKind::interrupt())?, listen(SignalKind::terminate())?);
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}

fn cannot_listen(address: SocketAddr, error: &io::Error) -> Failure {
    let way_out = match error.kind() {
        io::ErrorKind::AddrInUse => {
            "another program listens there: stop it, or choose another port with `--listen` \
                                     (port 0 takes a free one)"
        }
        io::ErrorKind::AddrNotAvailable => {
            "this machine does not have this IP address: choose one of its own with \
                                            `--listen`"
        }
        io::ErrorKind::PermissionDenied => "ports below 1024 need privileges: choose a higher one with `--listen`",
        _ => "choose another address with `--listen`",
    };
    Failure::new(format!("cannot listen on {address} ({error}); {way_out}"))
}
