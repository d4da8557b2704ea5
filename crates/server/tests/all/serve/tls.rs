//! TLS with a certificate from files, and metrics on a separate listener, with real clients.

use std::{net::SocketAddr, path::Path, process::Command, time::Duration};

use server::{Server, ServerOptions, http::TlsFiles};
use tokio::{sync::oneshot, task::JoinHandle};

use crate::support::TestApp;

fn make_certificate(directory: &Path, name: &str) -> TlsFiles {
    let (certificate, key) = (directory.join(format!("{name}.pem")), directory.join(format!("{name}.key")));
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"])
        .args(["-subj", &format!("/CN={name}"), "-addext", "subjectAltName=DNS:localhost"])
        .args(["-keyout".as_ref(), key.as_os_str(), "-out".as_ref(), certificate.as_os_str()])
        .output()
        .expect("openssl runs");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    TlsFiles { certificate, key }
}

struct Running {
    address: SocketAddr,
    metrics: SocketAddr,
    stop: oneshot::Sender<()>,
    done: JoinHandle<std::io::Result<()>>,
}

fn start(test: &TestApp, tls: Option<TlsFiles>) -> Running {
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let options = ServerOptions { listen: any, metrics_listen: Some(any), tls };
    let server = Server::bind(test.app.clone(), &options).expect("a free port");
    let (address, metrics) = (server.address().unwrap(), server.metrics_address().unwrap().unwrap());
    let (stop, stopped) = oneshot::channel::<()>();
    let done = tokio::spawn(server.run(async move { stopped.await.unwrap_or(()) }));
    Running { address, metrics, stop, done }
}

impl Running {
    async fn stop(self) {
        self.stop.send(()).expect("the server runs");
        self.done.await.expect("no panic").expect("a clean end");
    }
}

async fn curl(arguments: &[&str]) -> (bool, String) {
    let mut command = Command::new("curl");
    command.args(["--silent", "--show-error", "--max-time", "20"]).args(arguments);
    let run = tokio::task::spawn_blocking(move || command.output());
    let output = run.await.expect("no panic").expect("curl runs");
    let text = if output.status.success() { &output.stdout } else { &output.stderr };
    (output.status.success(), String::from_utf8_lossy(text).into_owned())
}

#[tokio::test]
async fn a_certificate_is_reloaded_when_its_file_changes() {
    let test = TestApp::new().await;
    let files = make_certificate(test.directory.path(), "first");
    let second = make_certificate(test.directory.path(), "second");
    let (old, new) = (test.directory.path().join("old.pem"), second.certificate.clone());
    std::fs::copy(&files.certificate, &old).unwrap();
    let running = start(&test, Some(files.clone()));
    let url = format!("https://localhost:{}/readyz", running.address.port());
    let trusting = |authority: &Path| {
        let authority = authority.to_str().unwrap().to_owned();
        let url = url.clone();
        async move { curl(&["--cacert", &authority, "--http2", "--write-out", "%{http_version}", &url]).await }
    };
    assert_eq!(trusting(&old).await, (true, "ready\n2".to_owned()));
    assert!(!trusting(&new).await.0, "the second certificate is not in use yet");

    // An incomplete new pair is ignored and the first pair is kept. Then the other file is replaced.
    std::fs::copy(&second.certificate, &files.certificate).unwrap();
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(6)).await;
    tokio::time::resume();
    assert!(trusting(&old).await.0, "half a pair must not be taken up");
    std::fs::copy(&second.key, &files.key).unwrap();
    let deadline = std::time::Duration::from_secs(20);
    let taken_up = tokio::time::timeout(deadline, async {
        while !trusting(&new).await.0 {
            tokio::task::yield_now().await;
        }
    });
    taken_up.await.expect("the new pair is taken up within seconds");
    running.stop().await;
}

#[tokio::test]
async fn an_unusable_certificate_stops_the_start_and_is_named() {
    let test = TestApp::new().await;
    let (one, other) =
        (make_certificate(test.directory.path(), "one"), make_certificate(test.directory.path(), "other"));
    let mixed = TlsFiles { certificate: one.certificate.clone(), key: other.key };
    let missing = TlsFiles { certificate: test.directory.path().join("none.pem"), key: one.key.clone() };
    let swapped = TlsFiles { certificate: one.key, key: one.certificate };
    for (files, name) in [(mixed, "other.key"), (missing, "none.pem"), (swapped, "one.key")] {
        let options = ServerOptions { tls: Some(files), ..ServerOptions::plain(SocketAddr::from(([127, 0, 0, 1], 0))) };
        let server = Server::bind(test.app.clone(), &options).unwrap();
        let error = server.run(std::future::pending()).await.expect_err("an unusable certificate");
        assert!(error.to_string().contains(name), "{error}");
    }
}

#[tokio::test]
async fn metrics_are_served_on_their_own_listener_only() {
    let test = TestApp::new().await;
    let admin = test.user("ada", false).await;
    test.workspace("acme", &admin).await;
    for _ in 0..3 {
        test.get("/api/v1/me").by(&admin.key).send().await.expect(200);
    }
    test.get("/api/v1/me").by_encord(&admin.key).send().await.expect(200);
    test.get("/api/v1/me").by(&test.new_key()).send().await.expect_problem(401, "unauthenticated");
    let running = start(&test, None);
    let (_, metrics) = curl(&[&format!("http://{}/metrics", running.metrics)]).await;
    for line in [
        "keyward_verifications_total{profile=\"native\",outcome=\"accepted\"} 3",
        "keyward_verifications_total{profile=\"native\",outcome=\"refused\"} 1",
        "keyward_verifications_total{profile=\"encord\",outcome=\"accepted\"} 1",
        "keyward_answers_total{status=\"4xx\"} 1",
        "keyward_directory_keys 1",
        "keyward_holds_lease 1",
    ] {
        assert!(metrics.lines().any(|found| found == line), "{line} is not in\n{metrics}");
    }
    assert!(metrics.contains("# HELP keyward_verification_seconds"), "{metrics}");
    let url = format!("http://{}/metrics", running.address);
    let host = format!("Host: {}", crate::support::HOST);
    let (_, status) = curl(&["--output", "/dev/null", "--write-out", "%{http_code}", "--header", &host, &url]).await;
    assert_eq!(status, "404", "metrics are not for every client of the API");
    running.stop().await;
}
